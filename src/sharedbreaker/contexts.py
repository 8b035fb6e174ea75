"""A context manager as one call: from before it is entered until it has been left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import ParamSpec, TypeVar

from sharedbreaker.open_calls import AsyncOpenCall, OpenCall

P = ParamSpec("P")
T = TypeVar("T")


def guarded_context_manager(
    begin: Callable[[], OpenCall], func: Callable[P, AbstractContextManager[T]]
) -> Callable[P, AbstractContextManager[T]]:
    """Return ``func``, made by ``contextlib.contextmanager``, with each ``with`` of it as one call.

    ``begin`` has the call admitted before anything of ``func`` runs; what leaves the block is its outcome.
    """

    @contextmanager
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        manager = func(*args, **kwargs)
        call = begin()
        call.release_when_dropped()
        try:
            with call.inside(), manager as value:
                try:
                    yield value
                except GeneratorExit:
                    call.drop()  # whoever leaves may be the garbage collector
                    raise
        except BaseException as error:
            call.fail(error)
            raise
        call.succeed()

    return guarded


def guarded_async_context_manager(
    begin: Callable[[], Awaitable[AsyncOpenCall]], func: Callable[P, AbstractAsyncContextManager[T]]
) -> Callable[P, AbstractAsyncContextManager[T]]:
    """Return the same for ``contextlib.asynccontextmanager``."""

    @asynccontextmanager
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        manager = func(*args, **kwargs)
        call = await begin()
        call.release_when_dropped()
        try:
            with call.inside():
                async with manager as value:
                    try:
                        yield value
                    except GeneratorExit:
                        call.drop()
                        raise
        except BaseException as error:
            await call.fail(error)
            raise
        await call.succeed()

    return guarded
