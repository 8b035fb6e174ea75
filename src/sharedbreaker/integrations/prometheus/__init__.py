"""Circuits for prometheus-client: a collector, and a page that is right under every server.

    from sharedbreaker.integrations.prometheus import register_circuit_breakers

    register_circuit_breakers([breaker])

Needs the extra: ``pip install 'sharedbreaker[prometheus]'``.
"""

from __future__ import annotations

try:
    import prometheus_client as _prometheus_client
except ModuleNotFoundError as error:
    if error.name != "prometheus_client":
        raise
    raise ModuleNotFoundError(
        "sharedbreaker.integrations.prometheus needs prometheus-client, which is not installed: "
        "pip install 'sharedbreaker[prometheus]'",
        name="prometheus_client",
    ) from None

from sharedbreaker.integrations.prometheus.collector import CircuitBreakerCollector
from sharedbreaker.integrations.prometheus.page import metrics_page
from sharedbreaker.integrations.prometheus.registration import (
    register_circuit_breakers,
    unregister_circuit_breakers,
)

__all__ = [
    "CircuitBreakerCollector",
    "metrics_page",
    "register_circuit_breakers",
    "unregister_circuit_breakers",
]

del _prometheus_client
