"""An async generator function under an AsyncCircuitBreaker: each stream is one call, as with generators."""

from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import pytest
from counted import assert_counts, new_async_breaker, until_counts
from redis import Redis

from guarded_calls import BadRequestError, ServiceDownError
from sharedbreaker import AsyncCircuitBreaker, CircuitBreakerError, Outcome, circuit_breaker, observation


async def pieces(number: int = 3) -> AsyncGenerator[int, None]:
    for piece in range(number):
        await asyncio.sleep(0)
        yield piece


async def breaks(error: BaseException) -> AsyncIterator[int]:
    yield 1
    raise error


class Service:
    async def pieces(self, number: int = 3) -> AsyncIterator[int]:
        async for piece in pieces(number):
            yield piece

    async def __call__(self, number: int = 3) -> AsyncIterator[int]:
        async for piece in pieces(number):
            yield piece


def logged(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)

    return wrapper


def decorated(breaker: AsyncCircuitBreaker, func: Any) -> Any:
    return circuit_breaker(breaker)(func)


def by_call(breaker: AsyncCircuitBreaker, func: Any) -> Any:
    return functools.partial(breaker.call, func)


WAYS = pytest.mark.parametrize("guard", [decorated, by_call])


async def all_of(stream: AsyncIterator[int]) -> list[int]:
    return [piece async for piece in stream]


@WAYS
@pytest.mark.parametrize(
    "func",
    [pieces, functools.partial(pieces, 3), Service().pieces, Service(), logged(pieces)],
    ids=["function", "partial", "bound method", "instance", "wrapper"],
)
def test_whole_stream_is_one_success(redis: Redis, guard: Any, func: Any) -> None:
    """A stream is in flight from its first piece on, and one success when it is exhausted."""

    async def run() -> None:
        stream = guard(new_async_breaker(redis), func)()
        assert await anext(stream) == 0
        assert_counts(redis, in_flight=1)
        assert await all_of(stream) == [1, 2]
        assert_counts(redis, success=1)

    asyncio.run(run())


@WAYS
def test_stream_that_nobody_starts_takes_nothing(redis: Redis, guard: Any) -> None:
    """Made, and dropped or closed, a stream has asked for no admission and run nothing."""
    runs: list[int] = []

    async def ask() -> AsyncIterator[int]:
        runs.append(1)
        yield 1

    async def run() -> None:
        ask_guarded = guard(new_async_breaker(redis), ask)
        await ask_guarded().aclose()
        ask_guarded()
        gc.collect()

    asyncio.run(run())

    assert runs == []
    assert redis.keys() == []


@WAYS
@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ServiceDownError(), "failure"),
        (BadRequestError(), "ignored"),
        (asyncio.CancelledError(), "released"),
    ],
)
def test_error_while_iterating_is_the_outcome(
    redis: Redis, guard: Any, error: BaseException, outcome: str
) -> None:
    """What breaks a stream reaches its consumer unchanged, and is classified as any error of a call."""

    async def run() -> None:
        stream = guard(new_async_breaker(redis), breaks)(error)
        await anext(stream)
        with pytest.raises(type(error)) as caught:
            await anext(stream)
        assert caught.value is error
        await until_counts(redis, **{outcome: 1})

    asyncio.run(run())


@WAYS
def test_rejection_comes_at_the_first_piece(redis: Redis, guard: Any) -> None:
    """While the circuit is open a stream can be made; its first piece raises and nothing runs."""
    runs: list[int] = []

    async def ask() -> AsyncIterator[int]:
        runs.append(1)
        yield 1

    async def run() -> None:
        breaker = new_async_breaker(redis)
        await breaker.force_open()
        stream = guard(breaker, ask)()
        with pytest.raises(CircuitBreakerError):
            await anext(stream)
        assert await all_of(stream) == []

    asyncio.run(run())

    assert runs == []
    assert_counts(redis, rejected=1)


@WAYS
def test_consumer_who_closes_early_is_not_counted(redis: Redis, guard: Any) -> None:
    """A stream that is closed before its end is released, after a cleanup that may await."""
    cleaned: list[str] = []

    async def ask() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            cleaned.append("closed")

    async def run() -> None:
        stream = guard(new_async_breaker(redis), ask)()
        async for _ in stream:
            break
        await stream.aclose()
        assert cleaned == ["closed"]
        await until_counts(redis, released=1)

    asyncio.run(run())


def test_error_of_the_cleanup_after_leaving_is_not_counted(redis: Redis) -> None:
    """Where closing the guarded generator fails, its consumer hears of it; the call is released."""

    async def ask() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            raise ServiceDownError("could not hang up")

    async def run() -> None:
        stream = circuit_breaker(new_async_breaker(redis))(ask)()
        await anext(stream)
        with pytest.raises(ServiceDownError):
            await stream.aclose()
        await until_counts(redis, released=1)

    asyncio.run(run())


@WAYS
def test_cancelled_consumer_is_not_counted(redis: Redis, guard: Any) -> None:
    """A task that is cancelled while it waits for a piece has given its stream up."""

    async def run() -> None:
        is_waiting = asyncio.Event()

        async def never_ends() -> AsyncIterator[int]:
            yield 1
            is_waiting.set()
            await asyncio.Event().wait()

        stream = guard(new_async_breaker(redis), never_ends)()
        task = asyncio.create_task(all_of(stream))
        await is_waiting.wait()
        assert_counts(redis, in_flight=1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until_counts(redis, released=1)

    asyncio.run(run())


@WAYS
def test_abandoned_stream_is_released_when_collected(redis: Redis, guard: Any) -> None:
    """A stream that is left by break, and not closed, is released when it is collected."""

    async def run() -> None:
        async for _ in guard(new_async_breaker(redis), pieces)():
            break
        gc.collect()
        await until_counts(redis, released=1)

    asyncio.run(run())


def test_loop_that_ends_closes_streams_in_peace(redis: Redis) -> None:
    """A stream that is open when its loop ends is cleaned up once, may await for that, and is released."""
    complaints: list[dict[str, Any]] = []
    cleaned: list[str] = []
    kept: list[Any] = []

    async def ask() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0.001)
            cleaned.append("closed")

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        breaker = new_async_breaker(redis)
        kept.extend(circuit_breaker(breaker)(ask)() for _ in range(8))
        for stream in kept:
            await anext(stream)

    asyncio.run(run())

    assert complaints == []
    assert cleaned == ["closed"] * 8
    assert_counts(redis, released=8)


def test_stream_that_outlives_its_loop_is_released(redis: Redis) -> None:
    """A stream whose loop was closed without asking is released when it is collected all the same."""
    loop = asyncio.new_event_loop()
    stream = circuit_breaker(new_async_breaker(redis))(pieces)()
    loop.run_until_complete(anext(stream))
    loop.close()
    assert_counts(redis, in_flight=1)

    del stream
    gc.collect()

    assert_counts(redis, released=1)


def test_arguments_that_do_not_fit_are_not_counted(redis: Redis) -> None:
    """Wrong arguments are the caller's TypeError at the first piece, before anything is admitted."""

    async def run() -> None:
        ask: Any = circuit_breaker(new_async_breaker(redis, expected_exception=Exception))(pieces)
        with pytest.raises(TypeError, match="nonsense"):
            await anext(ask(nonsense=1))

    asyncio.run(run())

    assert redis.keys() == []


def test_observers_are_told_of_whole_streams(redis: Redis) -> None:
    """Whoever watches calls is told of each stream once, when it ends, with its outcome."""
    told: list[tuple[str, Outcome]] = []

    async def run() -> None:
        breaker = new_async_breaker(redis)
        stream = breaker.call(pieces)
        await anext(stream)
        assert told == []
        await all_of(stream)
        with pytest.raises(ServiceDownError):
            await all_of(breaker.call(breaks, ServiceDownError()))

    end = observation.observe_calls(lambda name, outcome, seconds: told.append((name, outcome)))
    try:
        asyncio.run(run())
    finally:
        end()

    assert told == [("orders", Outcome.SUCCESS), ("orders", Outcome.FAILURE)]
