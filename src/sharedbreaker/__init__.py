"""One circuit breaker for a whole fleet, kept in Redis."""

from sharedbreaker.async_breaker import AsyncCircuitBreaker
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
from sharedbreaker.circuit.history import Event
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.circuit.state import CircuitMode, CircuitState
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
from sharedbreaker.store.announcer import TransitionNotice

__all__ = [
    "Admission",
    "AsyncCircuitBreaker",
    "CircuitBreaker",
    "CircuitBreakerError",
    "CircuitBusyError",
    "CircuitMode",
    "CircuitState",
    "Event",
    "NoSuchCircuitError",
    "Operator",
    "Outcome",
    "SettingsError",
    "SharedBreakerError",
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
