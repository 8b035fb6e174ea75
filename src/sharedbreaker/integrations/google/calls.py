"""Guarded calls: admit, run, report. Some return, some return a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import TypeVar

from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.google_errors import outcome_of, retry_after_of
from sharedbreaker.integrations.google.breakers import RoleBreakers
from sharedbreaker.integrations.google.roles import Role
from sharedbreaker.integrations.google.streams import AsyncGuardedStream, GuardedStream
from sharedbreaker.open_calls import AsyncOpenCall, OpenCall

T = TypeVar("T")


def _judge(error: BaseException) -> tuple[Outcome, float | None]:
    return outcome_of(error), retry_after_of(error)


def _never(_result: object, _opened: object) -> bool:
    return False


class GuardedCalls:
    """Makes calls, each through the breaker of its service; those of a service without one as they are."""

    def __init__(self, breakers: RoleBreakers) -> None:
        self.breakers = breakers

    def run(self, role: Role, call: Callable[[], T], hand_over: Callable[[T, OpenCall], bool] = _never) -> T:
        """Return what ``call`` returns.

        Where that is a stream that has begun, ``hand_over`` makes it answer for the open call, and returns
        True; the call has not ended then.
        """
        breaker = self.breakers.sync(role)
        if breaker is None:
            return call()
        opened = OpenCall.begin(breaker, _judge)
        try:
            result = call()
        except BaseException as error:
            opened.fail(error)
            raise
        if not hand_over(result, opened):
            opened.succeed()
        return result

    def stream(self, role: Role, open_stream: Callable[[], Iterator[T]]) -> Iterator[T]:
        """Return the stream that ``open_stream`` returns, opened and guarded from its first ``next`` on."""
        breaker = self.breakers.sync(role)
        if breaker is None:
            return open_stream()
        return GuardedStream(partial(OpenCall.begin, breaker, _judge), open_stream)

    async def run_async(
        self,
        role: Role,
        call: Callable[[], Awaitable[T]],
        hand_over: Callable[[T, AsyncOpenCall], bool] = _never,
    ) -> T:
        """Return what ``call`` returns when awaited; ``hand_over`` as in ``run``."""
        breaker = self.breakers.asynchronous(role)
        if breaker is None:
            return await call()
        opened = await AsyncOpenCall.begin(breaker, _judge)
        try:
            result = await call()
        except BaseException as error:
            await opened.fail(error)
            raise
        if not hand_over(result, opened):
            await opened.succeed()
        return result

    async def stream_async(
        self, role: Role, open_stream: Callable[[], Awaitable[AsyncIterator[T]]]
    ) -> AsyncIterator[T]:
        """Return the stream of ``open_stream``, opened and guarded from its first piece on."""
        breaker = self.breakers.asynchronous(role)
        if breaker is None:
            return await open_stream()
        return AsyncGuardedStream(partial(AsyncOpenCall.begin, breaker, _judge), open_stream)
