"""hyx: consecutive failures in memory, for asyncio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from hyx.circuitbreaker import consecutive_breaker
from hyx.circuitbreaker.exceptions import BreakerFailing

from benchmarks.scenario import LONG
from benchmarks.subject import AsyncSubject, GuardedCall


class Hyx(AsyncSubject):
    """Shares nothing with any other process."""

    rejected = BreakerFailing

    def __init__(self, url: str, name: str, threshold: int) -> None:
        self.breaker = consecutive_breaker(failure_threshold=threshold, recovery_time_secs=LONG)

    def guard(self, function: Callable[[], Awaitable[int]]) -> GuardedCall:
        return GuardedCall(self.breaker(function))
