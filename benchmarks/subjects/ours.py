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


def was_late(error: sharedbreaker.StoreError) -> bool:
    """Return whether a Redis that is there was only too slow, as on a machine that does much else."""
    return "TimeoutError" in str(error)


class SharedBreaker(Subject):
    """The blocking breaker."""

    rejected = sharedbreaker.CircuitBreakerError

    def __init__(self, url: str, name: str, threshold: int, **settings: Any) -> None:
        self.breaker = new_breaker("CircuitBreaker", url, name, threshold, **settings)

    def guard(self, function: Callable[[], int]) -> GuardedCall:
        return GuardedCall(self.breaker.call, (function,))

    def open(self) -> None:
        """Open by hand; where there is no Redis to hold it open, by a failure."""
        while True:
            try:
                self.breaker.force_open()
            except sharedbreaker.StoreError as error:
                if was_late(error):
                    continue
                super().open()
            return

    def let_go(self) -> None:
        self.breaker.force_close()


class AsyncSharedBreaker(AsyncSubject):
    """Its twin for asyncio."""

    rejected = sharedbreaker.CircuitBreakerError

    def __init__(self, url: str, name: str, threshold: int, **settings: Any) -> None:
        self.breaker = new_breaker("AsyncCircuitBreaker", url, name, threshold, **settings)

    def guard(self, function: Callable[[], Awaitable[int]]) -> GuardedCall:
        return GuardedCall(self.breaker.call, (function,))

    async def open(self) -> None:
        """Open by hand; where there is no Redis to hold it open, by a failure."""
        while True:
            try:
                await self.breaker.force_open()
            except sharedbreaker.StoreError as error:
                if was_late(error):
                    continue
                await super().open()
            return

    async def let_go(self) -> None:
        await self.breaker.force_close()
