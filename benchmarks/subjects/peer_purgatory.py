"""purgatory: sync in memory, async over Redis. Its sync unit of work over Redis makes an asyncio client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from purgatory import AsyncCircuitBreakerFactory, AsyncRedisUnitOfWork, SyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState

from benchmarks.scenario import LONG
from benchmarks.subject import AsyncSubject, GuardedCall, Subject


class Purgatory(Subject):
    """In memory."""

    rejected = OpenedState

    def __init__(self, url: str, name: str, threshold: int) -> None:
        self.factory = SyncCircuitBreakerFactory(default_threshold=threshold, default_ttl=LONG)
        self.name = name

    def guard(self, function: Callable[[], int]) -> GuardedCall:
        return GuardedCall(self.factory(self.name)(function))


class AsyncPurgatory(AsyncSubject):
    """Over Redis: reads and writes JSON, without a script."""

    rejected = OpenedState

    def __init__(self, url: str, name: str, threshold: int) -> None:
        self.factory = AsyncCircuitBreakerFactory(
            default_threshold=threshold, default_ttl=LONG, uow=AsyncRedisUnitOfWork(url)
        )
        self.name = name

    async def start(self) -> None:
        await self.factory.initialize()

    def guard(self, function: Callable[[], Awaitable[int]]) -> GuardedCall:
        return GuardedCall(self.factory(self.name)(function))
