"""What every adapter of a library looks like to the worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

from benchmarks.scenario import ServiceDownError, async_fail, fail


class GuardedCall(NamedTuple):
    """A call as a user of the library writes it."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


class Subject:
    """One breaker of one library, closed.

    Args:
        url: where Redis is.
        name: the breaker's own, so that no two share state.
        threshold: failures in a row that open it.
        options: the library's own settings, as the catalogue gives them.

    """

    rejected: type[BaseException]
    """What the library raises where the circuit is open."""

    def __init__(self, url: str, name: str, threshold: int, **options: Any) -> None:
        """Make the breaker. Raises SkippedSubjectError where that cannot be."""

    def guard(self, function: Callable[[], int]) -> GuardedCall:
        """Return how a call of ``function`` is written with this library."""
        raise NotImplementedError

    def open(self) -> None:
        """Open the circuit for longer than any benchmark takes. It was made with a threshold of one."""
        call = self.guard(fail)
        with suppress(ServiceDownError, self.rejected):
            call.function(*call.arguments)

    def let_go(self) -> None:
        """Close the circuit again by hand."""
        raise NotImplementedError


class AsyncSubject:
    """The same for a library that is awaited. See Subject."""

    rejected: type[BaseException]

    def __init__(self, url: str, name: str, threshold: int, **options: Any) -> None:
        """Make the breaker. Runs before the event loop does."""

    async def start(self) -> None:
        """Do what needs the event loop."""

    def guard(self, function: Callable[[], Awaitable[int]]) -> GuardedCall:
        """Return how a call of ``function`` is written with this library; the worker awaits it."""
        raise NotImplementedError

    async def open(self) -> None:
        """Open the circuit for longer than any benchmark takes. It was made with a threshold of one."""
        call = self.guard(async_fail)
        with suppress(ServiceDownError, self.rejected):
            await call.function(*call.arguments)

    async def let_go(self) -> None:
        """Close the circuit again by hand."""
        raise NotImplementedError
