"""interlock-cb: windows in the process; over Redis only the opening is shared, by a poll once a second."""

from __future__ import annotations

from collections.abc import Callable

from interlock import CircuitBreaker, CircuitOpenError, Config
from interlock.integrations.redis import RedisStorage
from redis import Redis

from benchmarks.scenario import LONG
from benchmarks.subject import GuardedCall, Subject


class Interlock(Subject):
    """Opened by hand, which reaches this process alone."""

    rejected = CircuitOpenError

    def __init__(self, url: str, name: str, threshold: int, *, storage: str) -> None:
        self.breaker = CircuitBreaker(
            name=name,
            config=Config(minimum_number_of_calls=threshold, wait_duration_in_open=LONG),
            storage=RedisStorage(Redis.from_url(url)) if storage == "redis" else None,
        )

    def guard(self, function: Callable[[], int]) -> GuardedCall:
        return GuardedCall(self.breaker.call, (function,))

    def open(self) -> None:
        self.breaker.force_open()
