"""The three Google AI breakers as the tests see them, and nothing left behind of one test for the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from redis import Redis

import sharedbreaker
from circuit_in_redis import CircuitInRedis
from sharedbreaker import CircuitBreaker, google_ai

VARIABLES = [
    "SHAREDBREAKER_ENABLED",
    "SHAREDBREAKER_FAILURE_THRESHOLD",
    "SHAREDBREAKER_TIMEOUT",
    "SHAREDBREAKER_SUCCESS_THRESHOLD",
    "SHAREDBREAKER_REDIS_URL",
    "REDIS_URL",
]
NAMES = {
    "text_generation": "google_ai_text_generation",
    "vision": "google_ai_vision",
    "imagen": "google_ai_imagen",
}


@contextmanager
def no_configuration(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No configuration from outside, and afterwards the module's breakers as they were."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    before = google_ai.get_all_breakers()
    yield
    google_ai._breakers.update(before)


def as_object(section: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(
        **{name: as_object(value) if isinstance(value, dict) else value for name, value in section.items()}
    )


def all_three() -> dict[str, CircuitBreaker]:
    breakers = sharedbreaker.get_all_breakers()
    assert list(breakers) == ["text_generation", "vision", "imagen"]
    return {key: breaker for key, breaker in breakers.items() if breaker is not None}


def declared(redis: Redis) -> dict[str, tuple[str, str, str]]:
    """Thresholds and timeout of each circuit after one call."""
    for breaker in all_three().values():
        breaker.call(int)
    found = {}
    for key, name in NAMES.items():
        fields = CircuitInRedis(redis, name).fields()
        found[key] = (fields["failure_threshold"], fields["open_timeout_ms"], fields["success_threshold"])
    return found
