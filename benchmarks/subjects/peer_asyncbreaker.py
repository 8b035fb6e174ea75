"""asyncbreaker: pybreaker's line rewritten for asyncio, with MULTI for its transitions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import asyncbreaker
import redis.asyncio
from asyncbreaker.storage import MemoryStorage, RedisStorage

from benchmarks.scenario import LONG
from benchmarks.subject import AsyncSubject, GuardedCall


class AsyncBreaker(AsyncSubject):
    """Asks Redis on each call."""

    rejected = asyncbreaker.CircuitError

    def __init__(self, url: str, name: str, threshold: int, *, storage: str) -> None:
        if storage == "redis":
            self.kept = RedisStorage(redis=redis.asyncio.Redis.from_url(url), namespace=name)
        else:
            self.kept = MemoryStorage()
        self.breaker = asyncbreaker.CircuitBreaker(
            fail_max=threshold, timeout_duration=timedelta(seconds=LONG), state_storage=self.kept
        )

    async def start(self) -> None:
        if hasattr(self.kept, "initialize"):
            await self.kept.initialize()

    def guard(self, function: Callable[[], Awaitable[int]]) -> GuardedCall:
        return GuardedCall(self.breaker.call, (function,))

    async def open(self) -> None:
        await self.breaker.open()
