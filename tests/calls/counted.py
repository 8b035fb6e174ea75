"""What the tests of any callable share: breakers of both kinds, and what a circuit has counted."""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

from redis import Redis

from guarded_calls import ServiceDownError
from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker

NAME = "orders"
PATIENCE_SECONDS = 10


class Counts(NamedTuple):
    """Ends of calls, and calls under way, as Redis has them."""

    success: int = 0
    failure: int = 0
    ignored: int = 0
    rejected: int = 0
    released: int = 0
    in_flight: int = 0


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "name": NAME,
        "failure_threshold": 3,
        "success_threshold": 1,
        "expected_exception": ServiceDownError,
        "redis_timeout": 5,
    }
    return {**defaults, **settings}


def new_breaker(redis: Redis | str, **settings: Any) -> CircuitBreaker:
    return CircuitBreaker(redis=redis, **_settings(settings))


def new_async_breaker(redis: Redis | str, **settings: Any) -> AsyncCircuitBreaker:
    return AsyncCircuitBreaker(redis=redis, **_settings(settings))


def counts(redis: Redis, name: str = NAME) -> Counts:
    fields: dict[str, str] = redis.hgetall(f"sharedbreaker:{{{name}}}")  # type: ignore[assignment]
    ended = [int(fields.get(f"{outcome}_calls") or 0) for outcome in _FIELDS]
    in_flight = redis.zcard(f"sharedbreaker:{{{name}}}:leases")
    assert isinstance(in_flight, int)
    return Counts._make([*ended, in_flight])


_FIELDS = ("successful", "failed", "ignored", "rejected", "released")


def assert_counts(redis: Redis, **expected: int) -> None:
    """Assert that the circuit comes to these counts, and does not go past them."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while counts(redis) != Counts(**expected) and time.monotonic() < deadline:
        time.sleep(0.002)
    assert counts(redis) == Counts(**expected)


async def until_counts(redis: Redis, **expected: int) -> None:
    """Assert the same while the event loop goes on."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while counts(redis) != Counts(**expected) and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    assert counts(redis) == Counts(**expected)
