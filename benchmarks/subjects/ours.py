"""sharedbreaker, as its users write it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import sharedbreaker
from benchmarks.scenario import LONG, SkippedSubjectError
from benchmarks.subject import AsyncSubject, GuardedCall, Subject


def new_breaker(class_name: str, url: str, name: str, threshold: int, **settings: Any) -> Any:
    """Return a breaker; raise SkippedSubjectError where this version has no such thing."""
    breaker_class = getattr(sharedbreaker, class_name, None)
    if breaker_class is None:
        raise SkippedSubjectError(f"sharedbreaker has no {class_name} yet")
    try:
        return breaker_class(failure_threshold=threshold, timeout=LONG, name=name, redis=url, **settings)
    except TypeError as error:
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if unknown is None:
            raise
        raise SkippedSubjectError(f"{class_name} has no {unknown[1]} yet") from error


LATE = "TimeoutError"
"""What the error of a Redis says that is there and was too slow, as on a machine that does much else."""


def is_late(act: Callable[[], object]) -> bool:
    """Take the circuit in hand; return whether Redis was late, so that it has to be done again."""
    try:
        act()
    except sharedbreaker.StoreError as error:
        if LATE not in str(error):
            raise
        return True
    return False


async def is_late_async(act: Callable[[], Awaitable[object]]) -> bool:
    """Do the same in an event loop."""
    try:
        await act()
    except sharedbreaker.StoreError as error:
        if LATE not in str(error):
            raise
        return True
    return False


class SharedBreaker(Subject):
    """The blocking breaker."""

    rejected = sharedbreaker.CircuitBreakerError

    def __init__(self, url: str, name: str, threshold: int, **settings: Any) -> None:
        self.breaker = new_breaker("CircuitBreaker", url, name, threshold, **settings)

    def guard(self, function: Callable[[], int]) -> GuardedCall:
        return GuardedCall(self.breaker.call, (function,))

    def open(self) -> None:
        """Open by hand; where there is no Redis to hold it open, by a failure."""
        try:
            while is_late(self.breaker.force_open):
                pass
        except sharedbreaker.StoreError:
            super().open()

    def let_go(self) -> None:
        while is_late(self.breaker.force_close):
            pass


class AsyncSharedBreaker(AsyncSubject):
    """Its twin for asyncio."""

    rejected = sharedbreaker.CircuitBreakerError

    def __init__(self, url: str, name: str, threshold: int, **settings: Any) -> None:
        self.breaker = new_breaker("AsyncCircuitBreaker", url, name, threshold, **settings)

    def guard(self, function: Callable[[], Awaitable[int]]) -> GuardedCall:
        return GuardedCall(self.breaker.call, (function,))

    async def open(self) -> None:
        """Open by hand; where there is no Redis to hold it open, by a failure."""
        try:
            while await is_late_async(self.breaker.force_open):
                pass
        except sharedbreaker.StoreError:
            await super().open()

    async def let_go(self) -> None:
        while await is_late_async(self.breaker.force_close):
            pass
