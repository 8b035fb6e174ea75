"""fluxgate: composable rules in memory, not thread-safe by design."""

from __future__ import annotations

from collections.abc import Callable

from fluxgate import CircuitBreaker
from fluxgate.errors import CallNotPermittedError
from fluxgate.trippers import FailureStreak

from benchmarks.subject import GuardedCall, Subject


class Fluxgate(Subject):
    """Shares nothing with any other process."""

    rejected = CallNotPermittedError

    def __init__(self, url: str, name: str, threshold: int) -> None:
        self.breaker = CircuitBreaker(tripper=FailureStreak(threshold))

    def guard(self, function: Callable[[], int]) -> GuardedCall:
        return GuardedCall(self.breaker.call, (function,))

    def open(self) -> None:
        self.breaker.force_open()
