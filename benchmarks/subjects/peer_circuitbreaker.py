"""circuitbreaker: the smallest and fastest, in memory only, without locks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import circuitbreaker

from benchmarks.scenario import LONG
from benchmarks.subject import AsyncSubject, GuardedCall, Subject


class LocalCircuitBreaker(Subject):
    """Shares nothing with any other process. Its decorator is what rejects, so the decorator is measured."""

    rejected = circuitbreaker.CircuitBreakerError

    def __init__(self, url: str, name: str, threshold: int) -> None:
        self.breaker = circuitbreaker.CircuitBreaker(
            failure_threshold=threshold, recovery_timeout=LONG, name=name
        )

    def guard(self, function: Callable[[], int]) -> GuardedCall:
        return GuardedCall(self.breaker(function))


class AsyncLocalCircuitBreaker(AsyncSubject):
    """The same around a coroutine."""

    rejected = circuitbreaker.CircuitBreakerError

    def __init__(self, url: str, name: str, threshold: int) -> None:
        self.breaker = circuitbreaker.CircuitBreaker(
            failure_threshold=threshold, recovery_timeout=LONG, name=name
        )

    def guard(self, function: Callable[[], Awaitable[int]]) -> GuardedCall:
        return GuardedCall(self.breaker(function))
