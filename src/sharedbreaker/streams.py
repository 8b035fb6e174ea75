"""A generator as one call: from the first ``next`` to the last.

What comes out is a generator itself, so that it takes whatever the guarded one takes, gives whatever that
gives, and closes when that closes.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, ParamSpec, TypeVar

from sharedbreaker.callables import Kind, refuse_at_once
from sharedbreaker.open_calls import AsyncOpenCall, OpenCall

P = ParamSpec("P")
Y = TypeVar("Y")
S = TypeVar("S")
R = TypeVar("R")


def guarded_generator_function(
    begin: Callable[[], OpenCall], func: Callable[P, Generator[Y, S, R]]
) -> Callable[P, Generator[Y, S, R]]:
    """Return ``func`` with each of its streams as one call; ``begin`` has it admitted at the first piece."""

    def guarded(*args: P.args, **kwargs: P.kwargs) -> Generator[Y, S, R]:
        # Runs nothing of func's yet, and refuses arguments that do not fit before anything is admitted.
        stream = func(*args, **kwargs)
        call = begin()
        call.release_when_dropped()
        try:
            piece = next(stream)
            while True:
                try:
                    sent = yield piece
                except GeneratorExit as leaving:  # noqa: PERF203
                    call.drop()  # whoever leaves may be the garbage collector
                    piece = stream.throw(leaving)
                except BaseException as thrown:
                    piece = stream.throw(thrown)
                else:
                    piece = stream.send(sent)
        except StopIteration as end:
            call.succeed()
            return end.value  # type: ignore[no-any-return]
        except BaseException as error:
            call.fail(error)
            raise

    return guarded


def rest_of(call: OpenCall, stream: Generator[Y, S, R]) -> Generator[Y, S, R]:
    """Return a stream whose call has been admitted already, as it ends that call."""
    call.release_when_dropped()
    return guarded_generator_function(lambda: call, lambda: stream)()


def guarded_async_generator_function(
    name: str, begin: Callable[[], Awaitable[AsyncOpenCall]], func: Callable[P, AsyncGenerator[Y, S]]
) -> Callable[P, AsyncGenerator[Y, S]]:
    """Return the same for an async generator function."""

    async def guarded(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Y, S]:
        stream: AsyncGenerator[Y, S] = func(*args, **kwargs)
        if not _is_async_generator(stream):  # func wraps one, and gives something else
            refuse_at_once(name, func, Kind.PLAIN)
        call = await begin()
        call.release_when_dropped()
        try:
            piece = await _first_of(stream)
            while True:
                try:
                    sent = yield piece
                except GeneratorExit as leaving:  # noqa: PERF203
                    call.drop()
                    piece = await stream.athrow(leaving)
                except BaseException as thrown:
                    piece = await stream.athrow(thrown)
                else:
                    piece = await stream.asend(sent)
        except StopAsyncIteration:
            await call.succeed()
        except BaseException as error:
            await call.fail(error)
            raise

    return guarded


def _is_async_generator(stream: object) -> bool:
    return inspect.isasyncgen(stream)


def _first_of(stream: AsyncGenerator[Y, Any]) -> Awaitable[Y]:
    # A loop that ends closes all async generators whose first piece it has seen, at the same time. This one
    # is closed by the one around it, and would be found running.
    firstiter = sys.get_asyncgen_hooks().firstiter
    sys.set_asyncgen_hooks(firstiter=None)
    try:
        return anext(stream)
    finally:
        sys.set_asyncgen_hooks(firstiter=firstiter)
