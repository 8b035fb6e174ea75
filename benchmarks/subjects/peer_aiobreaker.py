"""aiobreaker: pybreaker's fork for asyncio. Its Redis storage blocks, also where the call is awaited."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import aiobreaker
from aiobreaker.storage.memory import CircuitMemoryStorage
from aiobreaker.storage.redis import CircuitRedisStorage
from redis import Redis

from benchmarks.scenario import LONG
from benchmarks.subject import GuardedCall, Subject


class AioBreaker(Subject):
    """Measured through its blocking call."""

    rejected = aiobreaker.CircuitBreakerError

    def __init__(self, url: str, name: str, threshold: int, *, storage: str) -> None:
        closed = aiobreaker.CircuitBreakerState.CLOSED
        if storage == "redis":
            kept = CircuitRedisStorage(closed, Redis.from_url(url), namespace=name)
        else:
            kept = CircuitMemoryStorage(closed)
        self.breaker = aiobreaker.CircuitBreaker(
            fail_max=threshold, timeout_duration=timedelta(seconds=LONG), state_storage=kept
        )

    def guard(self, function: Callable[[], int]) -> GuardedCall:
        return GuardedCall(self.breaker.call, (function,))

    def open(self) -> None:
        self.breaker.open()
