"""Strict breakers, and breakers that act on views that are a little old: what holds, holds for both."""

from __future__ import annotations

import time
from typing import Any

import pytest
from redis import Redis

from circuit_in_redis import CircuitInRedis, fail, new_breaker
from sharedbreaker import CircuitBreaker

STALENESS = 0.02
EITHER_VIEW = pytest.mark.parametrize("max_staleness", [0, STALENESS], ids=["strict", "stale"])


def pass_time(circuit: CircuitInRedis, milliseconds: int) -> None:
    """Let so much time pass for the circuit, and every view grow too old to act on."""
    circuit.elapse(milliseconds)
    age_views()


def age_views() -> None:
    time.sleep(STALENESS * 1.1)


def open_and_over(redis: Redis, **settings: Any) -> tuple[CircuitBreaker, CircuitInRedis]:
    """An open circuit whose time is over, so that the next call probes, and the breaker that opened it."""
    breaker = new_breaker(redis, **settings)
    fail(breaker, breaker.get_metrics()["failure_threshold"])
    circuit = CircuitInRedis(redis)
    assert circuit.field("state") == "open"
    pass_time(circuit, circuit.number("open_timeout_ms"))
    return breaker, circuit
