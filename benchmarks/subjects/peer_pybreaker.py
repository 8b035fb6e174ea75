"""pybreaker: the oldest, with its memory storage or its Redis storage."""

from __future__ import annotations

from collections.abc import Callable

import pybreaker
from redis import Redis

from benchmarks.scenario import LONG
from benchmarks.subject import GuardedCall, Subject


class PyBreaker(Subject):
    """Asks Redis on each call, in as many commands as it needs; keeps no leases."""

    rejected = pybreaker.CircuitBreakerError

    def __init__(self, url: str, name: str, threshold: int, *, storage: str) -> None:
        if storage == "redis":
            kept = pybreaker.CircuitRedisStorage("closed", Redis.from_url(url), namespace=name)
        else:
            kept = pybreaker.CircuitMemoryStorage("closed")
        self.breaker = pybreaker.CircuitBreaker(fail_max=threshold, reset_timeout=LONG, state_storage=kept)

    def guard(self, function: Callable[[], int]) -> GuardedCall:
        return GuardedCall(self.breaker.call, (function,))

    def open(self) -> None:
        self.breaker.open()

    def let_go(self) -> None:
        self.breaker.close()
