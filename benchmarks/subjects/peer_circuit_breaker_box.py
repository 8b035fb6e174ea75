"""circuit-breaker-box: counts retries per host, and bans a host that had too many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import redis.asyncio
import tenacity
from circuit_breaker_box import Retrier
from circuit_breaker_box.circuit_breaker_redis import CircuitBreakerRedis
from circuit_breaker_box.errors import HostUnavailableError

from benchmarks.scenario import LONG, ServiceDownError
from benchmarks.subject import AsyncSubject, GuardedCall


class CircuitBreakerBox(AsyncSubject):
    """Only a failure that is followed by a retry counts, so a failing call runs its function twice."""

    rejected = HostUnavailableError

    def __init__(self, url: str, name: str, threshold: int) -> None:
        self.host = name
        self.breaker = CircuitBreakerRedis(
            reset_timeout_in_seconds=LONG,
            max_failure_count=threshold - 1,
            redis_connection=redis.asyncio.Redis.from_url(url, decode_responses=True),
        )
        self.retrier: Retrier[int] = Retrier(
            wait_strategy=tenacity.wait_none(),
            stop_rule=tenacity.stop_after_attempt(2),
            retry_cause=tenacity.retry_if_exception_type(ServiceDownError),
            circuit_breaker=self.breaker,
        )

    def guard(self, function: Callable[[], Awaitable[int]]) -> GuardedCall:
        return GuardedCall(self.retrier.retry, (function, self.host))

    async def open(self) -> None:
        await self.breaker.increment_failures_count(self.host)
