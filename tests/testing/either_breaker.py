"""Breakers of either kind, in process and in Redis, called in one way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from guarded_calls import ServiceDownError
from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, CircuitBreakerError
from sharedbreaker.circuit.admission import Admission
from sharedbreaker.testing import InProcessCircuits

Breaker = CircuitBreaker | AsyncCircuitBreaker
MakeBreaker = Callable[..., Breaker]
KINDS = (CircuitBreaker, AsyncCircuitBreaker)
NAME = "orders"
SETTINGS: dict[str, Any] = {
    "name": NAME,
    "failure_threshold": 3,
    "timeout": 600,
    "probe_timeout": 200,
    "lease_timeout": 400,
    "expected_exception": ServiceDownError,
    "redis_timeout": 5,
}


@pytest.fixture(params=KINDS, ids=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> type[Breaker]:
    chosen: type[Breaker] = request.param
    return chosen


@pytest.fixture
def in_process(kind: type[Breaker]) -> Iterator[MakeBreaker]:
    """Breakers that share their circuits in this process."""
    with InProcessCircuits() as circuits:

        def make(**settings: Any) -> Breaker:
            return circuits.take(kind(redis="redis://nowhere.invalid", **{**SETTINGS, **settings}))

        yield make


@pytest.fixture
def in_redis(kind: type[Breaker], redis: Redis) -> MakeBreaker:
    """Breakers that share their circuits in Redis."""

    def make(**settings: Any) -> Breaker:
        return kind(redis=redis, **{**SETTINGS, **settings})

    return make


@pytest.fixture(params=["in_process", "in_redis"])
def make(request: pytest.FixtureRequest, in_process: MakeBreaker, in_redis: MakeBreaker) -> MakeBreaker:
    """Both, one after the other: what is said of one must hold for the other."""
    return in_process if request.param == "in_process" else in_redis


def call(breaker: Breaker, error: Exception | None = None) -> str:
    """Make one call through the breaker, and say what became of it."""

    def work() -> None:
        if error is not None:
            raise error

    async def async_work() -> None:
        work()

    try:
        if isinstance(breaker, CircuitBreaker):
            breaker.call(work)
        else:
            asyncio.run(breaker.call(async_work))
    except CircuitBreakerError as refusal:
        return refusal.why
    except Exception as raised:
        return "failed" if raised is error else f"broken by {raised!r}"
    return "done"


def refusal_of(breaker: Breaker) -> CircuitBreakerError:
    try:
        admit(breaker)
    except CircuitBreakerError as refusal:
        return refusal
    raise AssertionError("the call was let through")


def admit(breaker: Breaker) -> Admission:
    if isinstance(breaker, CircuitBreaker):
        return breaker.admit()
    return asyncio.run(breaker.admit())


def metrics(breaker: Breaker) -> dict[str, Any]:
    if isinstance(breaker, CircuitBreaker):
        return breaker.get_metrics()
    return asyncio.run(breaker.get_metrics())


def state(breaker: Breaker) -> str:
    return str(metrics(breaker)["state"])
