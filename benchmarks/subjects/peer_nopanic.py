"""nopanic and nopanic-redis: a failure rate over a window in buckets; in Redis, two Lua scripts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import nopanic
import redis
import redis.asyncio
from nopanic_redis import redis_circuit_breaker

from benchmarks.scenario import LONG
from benchmarks.subject import AsyncSubject, GuardedCall, Subject


class Nopanic(Subject):
    """In memory, or one script to admit and one to record."""

    rejected = nopanic.CircuitOpen

    def __init__(self, url: str, name: str, threshold: int, *, storage: str) -> None:
        if storage == "redis":
            client = redis.Redis.from_url(url)
            self.breaker = redis_circuit_breaker(client, name=name, min_calls=threshold, reset_timeout=LONG)
        else:
            self.breaker = nopanic.circuit_breaker(name=name, min_calls=threshold, reset_timeout=LONG)

    def guard(self, function: Callable[[], int]) -> GuardedCall:
        return GuardedCall(self.breaker(function))


class AsyncNopanic(AsyncSubject):
    """The same with an asyncio client."""

    rejected = nopanic.CircuitOpen

    def __init__(self, url: str, name: str, threshold: int) -> None:
        client = redis.asyncio.Redis.from_url(url)
        self.breaker = redis_circuit_breaker(client, name=name, min_calls=threshold, reset_timeout=LONG)

    def guard(self, function: Callable[[], Awaitable[int]]) -> GuardedCall:
        return GuardedCall(self.breaker(function))
