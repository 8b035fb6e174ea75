"""A coroutine driven to its n-th suspension, and what may come over it there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class Closed(BaseException):
    """The coroutine was closed where it stood."""


class Suspended:
    """Awaits something, and does ``what`` to it at its suspension number ``place``, counted from 1."""

    def __init__(self, awaitable: Awaitable[T], place: int, what: Callable[[Any], None]) -> None:
        self._awaitable = awaitable
        self._place = place
        self._what = what
        self.count = 0
        """How often it was suspended."""

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._awaitable.__await__()
        error: BaseException | None = None
        while True:
            try:
                waits_for = next(inner) if error is None else inner.throw(error)
            except StopIteration as end:
                return end.value
            self.count += 1
            if self.count == self._place:
                if self._what is close:
                    inner.close()
                    if waits_for is not None:
                        waits_for._asyncio_future_blocking = False
                    raise Closed
                self._what(waits_for)
            error = None
            try:
                yield waits_for
            except BaseException as thrown:
                error = thrown


def cancel(waits_for: Any) -> None:
    """Cancel the task while it waits."""
    this_task().cancel()


def cancel_late(waits_for: Any) -> None:
    """Cancel the task when what it waits for has come, before it learns of it."""
    task = this_task()
    if waits_for is None:  # it waits for the next turn of the loop
        task.cancel()
    else:
        waits_for.add_done_callback(lambda _: task.cancel())


def close(waits_for: Any) -> None:
    """Close the coroutine: nobody will ever step it again."""


def this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task
