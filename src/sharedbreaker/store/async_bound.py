"""A wait in an event loop that ends in time, and in the task itself: what is cancelled there ends too."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from typing import TypeVar

from redis.exceptions import TimeoutError as RedisTimeoutError

# `asyncio.wait_for` waits for a task of its own, which goes on where its waiter is closed; and before Python
# 3.12 it takes a cancellation for done when what it waits for has just come.
if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout  # redis-py brings it where Python has none

T = TypeVar("T")


async def bounded(waiting: Awaitable[T], seconds: float, what: str) -> T:
    """Return what ``waiting`` comes to; raise redis-py's TimeoutError where that takes longer."""
    handled = sys.exc_info()[1]
    try:
        async with timeout(seconds):
            return await waiting
    except asyncio.TimeoutError:
        raise RedisTimeoutError(f"no {what} within {seconds:.3g} seconds") from None
    except Exception as error:
        go_on_closing(error, handled)
        raise


def go_on_closing(error: BaseException, handled: BaseException | None) -> None:
    """Raise GeneratorExit where ``error`` came up only because the coroutine is being closed.

    What redis-py does at its end may need a loop that is not there any more. Whoever took its error for
    Redis' would let the call run, in a coroutine that has to end. ``handled``: what was handled before it.
    """
    cause: BaseException | None = error
    while cause is not None and cause is not handled:
        if isinstance(cause, GeneratorExit):
            raise GeneratorExit from None
        cause = cause.__context__
