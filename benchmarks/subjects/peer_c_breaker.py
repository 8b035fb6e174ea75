"""c-breaker: state and failures as JSON in Redis; counts per process."""

from __future__ import annotations

from collections.abc import Callable

from cbreaker.core.breaker import CircuitBreaker
from cbreaker.detectors.time_based import TimeBasedFailureDetector
from cbreaker.exceptions import CircuitOpenError
from cbreaker.storage.redis_storage import RedisStorage
from redis import Redis

from benchmarks.scenario import LONG
from benchmarks.subject import GuardedCall, Subject

WINDOW_SECONDS = 2


class CBreaker(Subject):
    """With its failures of the last two seconds: a longer window costs more with each failure in it."""

    rejected = CircuitOpenError

    def __init__(self, url: str, name: str, threshold: int) -> None:
        client = Redis.from_url(url)
        self.breaker = CircuitBreaker(
            name,
            failure_detector=TimeBasedFailureDetector(
                failure_threshold=threshold,
                time_window_seconds=WINDOW_SECONDS,
                name=name,
                sync_client=client,
            ),
            storage=RedisStorage(sync_client=client),
            recovery_timeout=LONG,
        )

    def guard(self, function: Callable[[], int]) -> GuardedCall:
        return GuardedCall(self.breaker.call, (function,))

    def open(self) -> None:
        self.breaker.trip()
