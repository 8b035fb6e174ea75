"""A small web app with metrics of its own, as several gunicorn workers serve it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import Counter

from sharedbreaker import CircuitBreaker, CircuitBreakerError
from sharedbreaker.integrations.prometheus import metrics_page, register_circuit_breakers

HITS = Counter("app_hits", "Hits of the app, in all workers.")
breaker = CircuitBreaker(name="orders", redis=os.environ["APP_REDIS_URL"], redis_timeout=5)
register_circuit_breakers([breaker], call_durations=True, timeout=5)


def slow() -> None:
    raise TimeoutError


def app(
    environment: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    body, content_type = str(os.getpid()).encode(), "text/plain"
    if environment["PATH_INFO"] == "/metrics":
        body, content_type = metrics_page(environment.get("HTTP_ACCEPT", ""))
    else:
        with contextlib.suppress(CircuitBreakerError, TimeoutError):
            breaker.call(slow if environment["PATH_INFO"] == "/fail" else HITS.inc)
    start_response("200 OK", [("Content-Type", content_type), ("Connection", "close")])
    return [body]
