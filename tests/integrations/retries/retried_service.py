"""A service that is down for some calls, behind a circuit that is soon half-open again."""

from __future__ import annotations

from typing import Any

from redis import Redis

from guarded_calls import ServiceDownError
from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker

TIMEOUT_SECONDS = 0.05


def settings(redis: Redis, **others: Any) -> dict[str, Any]:
    return {
        "failure_threshold": 2,
        "timeout": TIMEOUT_SECONDS,
        "success_threshold": 1,
        "expected_exception": ServiceDownError,
        "name": "retried",
        "redis": redis,
        "redis_timeout": 5,
        **others,
    }


def new_breaker(redis: Redis, **others: Any) -> CircuitBreaker:
    return CircuitBreaker(**settings(redis, **others))


def new_async_breaker(redis: Redis, **others: Any) -> AsyncCircuitBreaker:
    return AsyncCircuitBreaker(**settings(redis, **others))


class Service:
    """Fails the first of its calls, and counts all that reach it."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    def ask(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise ServiceDownError("503")
        return "done"

    async def ask_async(self) -> str:
        return self.ask()
