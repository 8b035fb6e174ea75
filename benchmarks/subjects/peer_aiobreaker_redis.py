"""aiobreaker-redis: a state key with a time to live, and a counter."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import redis.asyncio
from aiobreaker_redis import CircuitBreaker, CircuitOpenError

from benchmarks.scenario import LONG
from benchmarks.subject import AsyncSubject, GuardedCall


class AioBreakerRedis(AsyncSubject):
    """Asks Redis on each call."""

    rejected = CircuitOpenError

    def __init__(self, url: str, name: str, threshold: int) -> None:
        self.breaker = CircuitBreaker(
            name=name,
            failure_threshold=threshold,
            recovery_timeout=LONG,
            redis_client=redis.asyncio.Redis.from_url(url),
        )

    def guard(self, function: Callable[[], Awaitable[int]]) -> GuardedCall:
        return GuardedCall(self.breaker.call, (function,))
