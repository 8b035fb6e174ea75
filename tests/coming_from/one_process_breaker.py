"""A breaker in one process, as many a service has: what docs/coming-from/in-process.md comes from."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import Any

__all__ = [
    "CircuitBreaker",
    "CircuitBreakerError",
    "CircuitState",
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


class CircuitState(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreakerError(Exception):
    pass


class CircuitBreaker:
    def __init__(
        self,
        failure_threshold: int = 5,
        timeout: float = 60,
        success_threshold: int = 2,
        expected_exception: type[Exception] = Exception,
        name: str = "circuit_breaker",
    ) -> None:
        self.failure_threshold = failure_threshold
        self.timeout = timeout
        self.success_threshold = success_threshold
        self.expected_exception = expected_exception
        self.name = name
        self.state = CircuitState.CLOSED
        self.failure_count = self.success_count = 0
        self.last_failure_time: float | None = None
        self._lock = threading.Lock()
        self._started_at = self._changed_at = time.time()
        self._tallies = dict.fromkeys(("total", "successful", "failed", "rejected"), 0)
        self._transitions: dict[str, int] = {}

    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            self._tallies["total"] += 1
            if self.state is CircuitState.OPEN:
                if time.time() - (self.last_failure_time or 0) < self.timeout:
                    self._tallies["rejected"] += 1
                    raise CircuitBreakerError(f"circuit breaker {self.name!r} is open")
                self._move(CircuitState.HALF_OPEN)
        try:
            result = func(*args, **kwargs)
        except self.expected_exception:
            with self._lock:
                self._failed()
            raise
        with self._lock:
            self._succeeded()
        return result

    def _failed(self) -> None:
        self._tallies["failed"] += 1
        self.failure_count += 1
        self.last_failure_time = time.time()
        if self.state is CircuitState.HALF_OPEN or self.failure_count >= self.failure_threshold:
            self._move(CircuitState.OPEN)

    def _succeeded(self) -> None:
        self._tallies["successful"] += 1
        self.failure_count = 0
        if self.state is CircuitState.HALF_OPEN:
            self.success_count += 1
            if self.success_count >= self.success_threshold:
                self._move(CircuitState.CLOSED)

    def _move(self, state: CircuitState) -> None:
        if state is not self.state:
            name = f"{self.state.value}_to_{state.value}"
            self._transitions[name] = self._transitions.get(name, 0) + 1
            self.state = state
            self.success_count = 0
            self._changed_at = time.time()

    def force_open(self) -> None:
        with self._lock:
            self.last_failure_time = time.time()
            self._move(CircuitState.OPEN)

    def force_close(self) -> None:
        with self._lock:
            self.failure_count = 0
            self._move(CircuitState.CLOSED)

    def get_state(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "state": self.state.value,
            "failure_count": self.failure_count,
            "success_count": self.success_count,
            "last_failure_time": self.last_failure_time,
        }

    def get_metrics(self) -> dict[str, Any]:
        total = self._tallies["total"]

        def rate(name: str) -> float:
            return round(100 * self._tallies[name] / total, 2) if total else 0.0

        return {
            "name": self.name,
            "state": self.state.value,
            "uptime_seconds": time.time() - self._started_at,
            **{f"{name}_calls": tally for name, tally in self._tallies.items()},
            "success_rate_percent": rate("successful"),
            "failure_rate_percent": rate("failed"),
            "rejection_rate_percent": rate("rejected"),
            "current_failure_count": self.failure_count,
            "current_success_count": self.success_count,
            "failure_threshold": self.failure_threshold,
            "success_threshold": self.success_threshold,
            "state_transitions": dict(self._transitions),
            "last_state_change": self._changed_at,
            "is_healthy": self.state is CircuitState.CLOSED,
            "is_degraded": self.state is CircuitState.HALF_OPEN,
            "is_failing": self.state is CircuitState.OPEN,
        }

    def export_prometheus_metrics(self) -> str:
        label = f'name="{self.name}"'
        state = [CircuitState.CLOSED, CircuitState.HALF_OPEN, CircuitState.OPEN].index(self.state)
        lines = [f"circuit_breaker_state{{{label}}} {state}"]
        for result, name in (("success", "successful"), ("failure", "failed"), ("rejected", "rejected")):
            tally = self._tallies[name]
            lines.append(f'circuit_breaker_calls_total{{{label},result="{result}"}} {tally}')
        lines.append(f"circuit_breaker_success_rate{{{label}}} {self.get_metrics()['success_rate_percent']}")
        for name, tally in self._transitions.items():
            lines.append(f'circuit_breaker_state_transitions_total{{{label},transition="{name}"}} {tally}')
        return "\n".join(lines) + "\n"


def circuit_breaker(breaker: CircuitBreaker) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorate(func: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(func)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            return breaker.call(func, *args, **kwargs)

        return guarded

    return decorate


_breakers: dict[str, CircuitBreaker | None] = dict.fromkeys(("text_generation", "vision", "imagen"))


def initialize_circuit_breakers(config: Any) -> None:
    section = config.circuit_breaker
    if not section.enabled:
        _breakers.update(dict.fromkeys(_breakers))
        return
    for key, fewer, times in (("text_generation", 0, 1), ("vision", 2, 1), ("imagen", 2, 2)):
        threshold = max(3, section.failure_threshold - fewer) if fewer else section.failure_threshold
        _breakers[key] = CircuitBreaker(
            threshold, section.timeout * times, section.success_threshold, name=f"google_ai_{key}"
        )


def get_all_breakers() -> dict[str, CircuitBreaker | None]:
    return dict(_breakers)


def get_text_generation_breaker() -> CircuitBreaker | None:
    return _breakers["text_generation"]


def get_vision_api_breaker() -> CircuitBreaker | None:
    return _breakers["vision"]


def get_imagen_breaker() -> CircuitBreaker | None:
    return _breakers["imagen"]


get_google_ai_breaker = get_text_generation_breaker


def get_all_metrics() -> dict[str, Any]:
    return {key: breaker.get_metrics() for key, breaker in _breakers.items() if breaker is not None}


def export_all_prometheus_metrics() -> str:
    return "".join(
        breaker.export_prometheus_metrics() for breaker in _breakers.values() if breaker is not None
    )
