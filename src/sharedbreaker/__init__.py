"""One circuit breaker for a whole fleet, kept in Redis."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sharedbreaker.breaker import CircuitBreaker
from sharedbreaker.circuit.admission import Admission
from sharedbreaker.circuit.errors import (
    CircuitBreakerError,
    CircuitBusyError,
    NoSuchCircuitError,
    SettingsError,
    SharedBreakerError,
    StoreError,
)
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.rates import FailureRate, LastCalls, SlowCallRate
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.circuit.state import CircuitMode, CircuitState
from sharedbreaker.store.announcer import TransitionNotice

if TYPE_CHECKING:
    from sharedbreaker.async_breaker import AsyncCircuitBreaker
    from sharedbreaker.circuit.history import Event
    from sharedbreaker.decorator import circuit_breaker
    from sharedbreaker.google_ai import (
        export_all_prometheus_metrics,
        get_all_breakers,
        get_all_metrics,
        get_google_ai_breaker,
        get_imagen_breaker,
        get_text_generation_breaker,
        get_vision_api_breaker,
        initialize_circuit_breakers,
    )
    from sharedbreaker.operator import Operator

__all__ = [
    "Admission",
    "AsyncCircuitBreaker",
    "CircuitBreaker",
    "CircuitBreakerError",
    "CircuitBusyError",
    "CircuitMode",
    "CircuitState",
    "Event",
    "FailureRate",
    "LastCalls",
    "NoSuchCircuitError",
    "Operator",
    "Outcome",
    "SettingsError",
    "SharedBreakerError",
    "SlowCallRate",
    "Snapshot",
    "StoreError",
    "TransitionNotice",
    "circuit_breaker",
    "export_all_prometheus_metrics",
    "get_all_breakers",
    "get_all_metrics",
    "get_google_ai_breaker",
    "get_imagen_breaker",
    "get_text_generation_breaker",
    "get_vision_api_breaker",
    "initialize_circuit_breakers",
]

# Loaded when somebody asks for them: a process that starts often should not wait for what it does not use.
_WHERE = {
    "AsyncCircuitBreaker": "async_breaker",
    "Event": "circuit.history",
    "Operator": "operator",
    "circuit_breaker": "decorator",
    **dict.fromkeys(
        (
            "export_all_prometheus_metrics",
            "get_all_breakers",
            "get_all_metrics",
            "get_google_ai_breaker",
            "get_imagen_breaker",
            "get_text_generation_breaker",
            "get_vision_api_breaker",
            "initialize_circuit_breakers",
        ),
        "google_ai",
    ),
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
