"""A stream as one call: from its first piece to its last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, Generic, TypeVar

from sharedbreaker.open_calls import AsyncOpenCall, OpenCall

T = TypeVar("T")
PIECES_AT_HAND = 100
"""Pieces of a stream that may have come already when it is closed."""


class GuardedStream(Iterator[T], Generic[T]):
    """An iterator that is one call: admitted at the first ``next``, a success when it is exhausted.

    An error while iterating is the call's outcome. Closed, or dropped, before its end it is released
    uncounted; never started it has taken nothing.

    ``begin`` asks for admission, ``open_stream`` makes the request.
    """

    def __init__(self, begin: Callable[[], OpenCall], open_stream: Callable[[], Iterator[T]]) -> None:
        self._begin: Callable[[], OpenCall] | None = begin
        self._open_stream = open_stream
        self._call: OpenCall | None = None
        self._stream: Iterator[T] | None = None

    @classmethod
    def of_running(cls, call: OpenCall, stream: Iterator[T]) -> GuardedStream[T]:
        """Return the rest of a stream whose call has been admitted."""
        guarded: GuardedStream[T] = cls(lambda: call, lambda: stream)
        guarded._start()
        return guarded

    def __iter__(self) -> GuardedStream[T]:
        return self

    def __next__(self) -> T:
        if self._begin is not None:
            self._start()
        if self._call is None or self._stream is None:
            raise StopIteration
        call = self._call
        try:
            return next(self._stream)
        except StopIteration:
            self._end()
            call.succeed()
            raise
        except BaseException as error:
            self._end()
            call.fail(error)
            raise

    def close(self) -> None:
        """Give the rest of the stream up."""
        self._begin = None
        call, stream = self._call, self._stream
        self._end()
        try:
            close = getattr(stream, "close", None) or getattr(stream, "cancel", None)
            if close is not None:
                close()
        finally:
            if call is not None:
                call.release()

    def __getattr__(self, name: str) -> Any:
        return getattr(_stream_of(self), name)

    def _start(self) -> None:
        begin, self._begin = self._begin, None
        assert begin is not None  # noqa: S101 - a stream starts once
        call = begin()
        call.release_when_dropped()
        try:
            self._stream = self._open_stream()
        except BaseException as error:
            call.fail(error)
            raise
        self._call = call

    def _end(self) -> None:
        self._call = None


class AsyncGuardedStream(AsyncIterator[T], Generic[T]):
    """The twin of ``GuardedStream`` for ``async for``."""

    def __init__(
        self,
        begin: Callable[[], Awaitable[AsyncOpenCall]],
        open_stream: Callable[[], Awaitable[AsyncIterator[T]]],
    ) -> None:
        self._begin: Callable[[], Awaitable[AsyncOpenCall]] | None = begin
        self._open_stream = open_stream
        self._call: AsyncOpenCall | None = None
        self._stream: AsyncIterator[T] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def of_running(cls, call: AsyncOpenCall, stream: AsyncIterator[T]) -> AsyncGuardedStream[T]:
        """Return the rest of a stream whose call has been admitted."""
        guarded: AsyncGuardedStream[T] = cls(_already_begun, _already_begun)
        guarded._resume(call, stream)
        return guarded

    def __aiter__(self) -> AsyncGuardedStream[T]:
        return self

    async def __anext__(self) -> T:
        if self._begin is not None:
            await self._start()
        if self._call is None or self._stream is None:
            raise StopAsyncIteration
        call = self._call
        try:
            return await anext(self._stream)
        except StopAsyncIteration:
            self._end()
            await call.succeed()
            raise
        except BaseException as error:
            self._end()
            await call.fail(error)
            raise

    async def aclose(self) -> None:
        """Give the rest of the stream up."""
        self._begin = None
        call, stream = self._call, self._stream
        self._end()
        try:
            aclose = getattr(stream, "aclose", None)
            cancel = getattr(stream, "cancel", None)
            if isinstance(stream, AsyncGenerator):
                await _close_connection(stream)
            elif aclose is not None:
                await aclose()
            elif cancel is not None:
                cancel()
        finally:
            if call is not None:
                call.release()

    def __del__(self) -> None:
        if self.__dict__.get("_call") is None or not isinstance(self._stream, AsyncGenerator):
            return
        with suppress(RuntimeError):
            loop = asyncio.get_running_loop()
            if loop is self._loop:
                closing = loop.create_task(_close_connection(self._stream))
                _closing.add(closing)
                closing.add_done_callback(_closing.discard)

    def __getattr__(self, name: str) -> Any:
        return getattr(_stream_of(self), name)

    def _resume(self, call: AsyncOpenCall, stream: AsyncIterator[T]) -> None:
        call.release_when_dropped()
        self._begin, self._call, self._stream = None, call, stream

    async def _start(self) -> None:
        begin, self._begin = self._begin, None
        assert begin is not None  # noqa: S101 - a stream starts once
        call = await begin()
        call.release_when_dropped()
        try:
            self._stream = await self._open_stream()
            self._loop = asyncio.get_running_loop()
        except BaseException as error:
            await call.fail(error)
            raise
        self._call = call

    def _end(self) -> None:
        self._call = None


_closing: set[asyncio.Task[None]] = set()
"""Of streams that were dropped; a loop holds its tasks by weak references only."""


async def _close_connection(stream: AsyncGenerator[Any, Any]) -> None:
    """Close a stream of google-genai's, and what is below it.

    Where it is closed between two pieces it leaves its connection open, and in use for ever. A read that is
    cancelled closes it; so the next piece is asked for, and given up unless it is there already.
    """
    for _ in range(PIECES_AT_HAND):
        read: asyncio.Future[Any] = asyncio.ensure_future(anext(stream))
        try:
            await asyncio.sleep(0)
        finally:
            read.cancel()
        await asyncio.wait([read])
        if read.cancelled() or read.exception() is not None:
            return
    await stream.aclose()


async def _already_begun() -> Any:
    raise AssertionError


def _stream_of(guarded: Any) -> Any:
    """Return the SDK's own stream, which has more to it than its pieces."""
    stream = guarded.__dict__.get("_stream")
    if stream is None:
        raise AttributeError("the stream has not been started")
    return stream
