"""A guarded generator is a generator still: whoever talks to it talks to the one under the breaker."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import AsyncGenerator, Generator, Iterator
from typing import Any

import pytest
from counted import assert_counts, new_async_breaker, new_breaker
from redis import Redis

from guarded_calls import ServiceDownError
from sharedbreaker import circuit_breaker


def pieces(number: int = 3) -> Generator[int, None, str]:
    yield from range(number)
    return "whole"


async def async_pieces(number: int = 3) -> AsyncGenerator[int, None]:
    for piece in range(number):
        yield piece


def echo() -> Generator[Any, Any, str]:
    """Yields what it is sent, and the names of the errors that it is thrown."""
    answer: Any = "ready"
    while answer != "bye":
        try:
            answer = yield answer
        except ValueError as error:  # noqa: PERF203
            answer = repr(error)
    return "over"


def test_generators_talk_through_the_guard(redis: Redis) -> None:
    """What is sent and thrown reaches the guarded generator, and what it returns comes back."""
    stream = circuit_breaker(new_breaker(redis))(echo)()

    assert next(stream) == "ready"
    assert stream.send(5) == 5
    assert stream.throw(ValueError("no")) == "ValueError('no')"
    assert next(stream) is None
    with pytest.raises(StopIteration) as end:
        stream.send("bye")

    assert end.value.value == "over"
    assert_counts(redis, success=1)


def test_what_is_thrown_and_not_caught_is_the_outcome(redis: Redis) -> None:
    """An error that a consumer throws into a stream, and that comes out again, has ended the call."""
    stream = circuit_breaker(new_breaker(redis))(pieces)()
    next(stream)

    with pytest.raises(ServiceDownError):
        stream.throw(ServiceDownError())

    assert_counts(redis, failure=1)


def test_yield_from_a_guarded_stream(redis: Redis) -> None:
    """`yield from` gives all pieces and the value that the guarded generator returned."""
    ask = circuit_breaker(new_breaker(redis))(pieces)

    def outer() -> Generator[int, None, str]:
        return (yield from ask(2))

    def value_of(stream: Generator[int, None, str]) -> Generator[int, None, None]:
        assert (yield from stream) == "whole"

    assert list(value_of(outer())) == [0, 1]
    assert_counts(redis, success=1)


def test_generator_that_ignores_close_does_so_under_a_guard(redis: Redis) -> None:
    """One that goes on when it is closed is told the same as without a breaker; its call is over."""

    def stubborn() -> Iterator[int]:
        while True:
            try:
                yield 1
            except GeneratorExit:  # noqa: PERF203
                yield 2

    stream: Any = circuit_breaker(new_breaker(redis))(stubborn)()
    next(stream)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        stream.close()

    assert_counts(redis, released=1)
    stream.close()
    assert list(stream) == []


def test_value_returned_while_closing(redis: Redis) -> None:
    """What a generator returns when it is closed comes out as it does without a breaker."""

    def ask() -> Generator[int, None, str]:
        try:
            yield 1
        except GeneratorExit:
            return "early"
        return "late"

    def closed(stream: Any) -> Any:
        next(stream)
        return stream.close()

    assert closed(circuit_breaker(new_breaker(redis))(ask)()) == closed(ask())
    assert closed(ask()) == ("early" if sys.version_info >= (3, 13) else None)
    assert_counts(redis, released=1)


def test_guarded_stream_is_still_a_generator(redis: Redis) -> None:
    """For whoever looks, what is guarded is a generator function with its name and signature."""
    ask = circuit_breaker(new_breaker(redis))(pieces)

    assert inspect.isgeneratorfunction(ask)
    assert inspect.isgenerator(ask())
    assert inspect.signature(ask) == inspect.signature(pieces)
    assert (ask.__name__, ask.__wrapped__) == ("pieces", pieces)  # type: ignore[attr-defined]


async def async_echo() -> AsyncGenerator[Any, Any]:
    answer: Any = "ready"
    while answer != "bye":
        try:
            answer = yield answer
        except ValueError as error:  # noqa: PERF203
            answer = repr(error)


def test_async_generators_talk_through_the_guard(redis: Redis) -> None:
    """What is sent and thrown reaches the guarded generator."""

    async def run() -> None:
        stream = circuit_breaker(new_async_breaker(redis))(async_echo)()
        assert await anext(stream) == "ready"
        assert await stream.asend(5) == 5
        assert await stream.athrow(ValueError("no")) == "ValueError('no')"
        with pytest.raises(StopAsyncIteration):
            await stream.asend("bye")
        assert_counts(redis, success=1)

    asyncio.run(run())


def test_what_is_thrown_and_not_caught_is_the_outcome_of_an_async_stream(redis: Redis) -> None:
    """An error that a consumer throws into a stream, and that comes out again, has ended the call."""

    async def run() -> None:
        stream = circuit_breaker(new_async_breaker(redis))(async_pieces)()
        await anext(stream)
        with pytest.raises(ServiceDownError):
            await stream.athrow(ServiceDownError())
        assert_counts(redis, failure=1)

    asyncio.run(run())


def test_guarded_stream_is_still_an_async_generator(redis: Redis) -> None:
    """For whoever looks, what is guarded is an async generator function with its name and signature."""
    ask = circuit_breaker(new_async_breaker(redis))(async_pieces)

    assert inspect.isasyncgenfunction(ask)
    assert inspect.isasyncgen(ask())
    assert inspect.signature(ask) == inspect.signature(async_pieces)
    assert (ask.__name__, ask.__wrapped__) == ("async_pieces", async_pieces)  # type: ignore[attr-defined]
