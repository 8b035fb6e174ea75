"""ss-utils-circuit-breaker: over coredis, whose newer versions it silently does not use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from ss_utils_circuit_breaker import CircuitBreakerError, RedisCircuitBreaker

from benchmarks.scenario import LONG, SkippedSubjectError
from benchmarks.subject import AsyncSubject, GuardedCall


class SsUtils(AsyncSubject):
    """Asks Redis on each call, and swallows every error of it."""

    rejected = CircuitBreakerError

    def __init__(self, url: str, name: str, threshold: int) -> None:
        where = urlsplit(url)
        self.breaker = RedisCircuitBreaker(
            name,
            redis_url=f"{where.hostname}:{where.port}",
            failure_threshold=threshold,
            recovery_timeout=LONG,
        )

    async def start(self) -> None:
        if not await self.breaker._ensure_redis():  # noqa: SLF001 - it tells nobody else
            raise SkippedSubjectError("it does not use Redis with this version of coredis")

    def guard(self, function: Callable[[], Awaitable[int]]) -> GuardedCall:
        return GuardedCall(self.breaker(function))
