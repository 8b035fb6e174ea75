"""Which breaker serves which callable: the other one refuses it where it is wrapped, and counts nothing."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import types
import warnings
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any
from unittest.mock import AsyncMock

import pytest
from counted import assert_counts, new_async_breaker, new_breaker, until_counts
from redis import Redis

from guarded_calls import work
from sharedbreaker import circuit_breaker
from sharedbreaker.callables import Kind, kind_of


async def coroutine_function() -> str:
    return "done"


def generator_function() -> Iterator[int]:
    yield 1


async def async_generator_function() -> AsyncIterator[int]:
    yield 1


@contextlib.contextmanager
def manager() -> Iterator[int]:
    yield 1


@contextlib.asynccontextmanager
async def async_manager() -> AsyncIterator[int]:
    yield 1


@types.coroutine
def old_coroutine_function() -> Generator[None, None, str]:
    yield
    return "done"


class Plain:
    def __call__(self) -> str:
        return "done"


class Later:
    async def __call__(self) -> str:
        return "done"


class Streams:
    def __call__(self) -> Iterator[int]:
        yield 1

    def method(self) -> Iterator[int]:
        yield 1

    @classmethod
    async def of_class(cls) -> AsyncIterator[int]:
        yield 1


def wrapped(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper() -> Any:
        return func()

    return wrapper


def to_thread(func: Callable[..., Any]) -> Callable[..., Any]:
    """As decorators do that make a plain function awaitable, and name it as wrapped."""

    @functools.wraps(func)
    async def wrapper() -> Any:
        return func()

    return wrapper


def returns_async_generator() -> AsyncIterator[int]:
    return async_generator_function()


KINDS: list[tuple[Callable[..., Any], Kind]] = [
    (work, Kind.PLAIN),
    (str, Kind.PLAIN),
    ("done".lower, Kind.PLAIN),
    (Plain(), Kind.PLAIN),
    (Later, Kind.PLAIN),
    (Streams, Kind.PLAIN),
    (functools.partial(work), Kind.PLAIN),
    (wrapped(generator_function), Kind.PLAIN),
    (coroutine_function, Kind.COROUTINE),
    (old_coroutine_function, Kind.COROUTINE),
    (Later(), Kind.COROUTINE),
    (AsyncMock(), Kind.COROUTINE),
    (wrapped(coroutine_function), Kind.COROUTINE),
    (to_thread(work), Kind.COROUTINE),
    (functools.partial(functools.partial(coroutine_function)), Kind.COROUTINE),
    (generator_function, Kind.GENERATOR),
    (Streams(), Kind.GENERATOR),
    (Streams().method, Kind.GENERATOR),
    (functools.partial(Streams().method), Kind.GENERATOR),
    (async_generator_function, Kind.ASYNC_GENERATOR),
    (Streams.of_class, Kind.ASYNC_GENERATOR),
    (wrapped(async_generator_function), Kind.ASYNC_GENERATOR),
    (manager, Kind.CONTEXT_MANAGER),
    (wrapped(manager), Kind.CONTEXT_MANAGER),
    (functools.partial(manager), Kind.CONTEXT_MANAGER),
    (async_manager, Kind.ASYNC_CONTEXT_MANAGER),
    (wrapped(functools.partial(async_manager)), Kind.ASYNC_CONTEXT_MANAGER),
]
FOR_LOOPS = (Kind.COROUTINE, Kind.ASYNC_GENERATOR, Kind.ASYNC_CONTEXT_MANAGER)


@pytest.mark.parametrize(("func", "kind"), KINDS)
def test_kind_is_seen_through_what_is_around_it(func: Any, kind: Kind) -> None:
    """A kind is told without a call, through partials, methods, instances and wrappers."""
    assert kind_of(func) is kind


@pytest.mark.parametrize("func", [func for func, kind in KINDS if kind in FOR_LOOPS])
def test_breaker_refuses_what_needs_a_loop(redis: Redis, func: Any) -> None:
    """A CircuitBreaker refuses it with TypeError by decorator and by call, and counts nothing."""
    breaker = new_breaker(redis)

    with pytest.raises(TypeError, match="AsyncCircuitBreaker serves"):
        circuit_breaker(breaker)(func)
    with pytest.raises(TypeError, match="AsyncCircuitBreaker serves"):
        breaker.call(func)

    assert redis.keys() == []


@pytest.mark.parametrize("func", [func for func, kind in KINDS if kind not in FOR_LOOPS])
def test_async_breaker_refuses_what_needs_none(redis: Redis, func: Any) -> None:
    """An AsyncCircuitBreaker refuses to decorate what blocks a loop, asks nothing and counts nothing."""
    with pytest.raises(TypeError, match="CircuitBreaker all others"):
        circuit_breaker(new_async_breaker(redis))(func)

    assert redis.keys() == []


@pytest.mark.parametrize("func", [generator_function, Streams().method, manager])
def test_async_breaker_refuses_to_call_what_needs_none(redis: Redis, func: Any) -> None:
    """`call` of an AsyncCircuitBreaker refuses generator functions and context managers at once."""
    with pytest.raises(TypeError, match="CircuitBreaker all others"):
        new_async_breaker(redis).call(func)

    assert redis.keys() == []


@pytest.mark.parametrize("max_staleness", [0, 0.2], ids=["by asking", "on a view"])
@pytest.mark.parametrize("func", [work, Plain(), returns_async_generator])
def test_call_that_gives_nothing_to_await_is_not_counted(
    redis: Redis, max_staleness: float, func: Any
) -> None:
    """A plain function under an AsyncCircuitBreaker is a TypeError and no failure of the service."""

    async def run() -> None:
        breaker = new_async_breaker(redis, max_staleness=max_staleness, expected_exception=Exception)
        await breaker.call(coroutine_function)
        with pytest.raises(TypeError, match="nothing to await"):
            await breaker.call(func)
        await until_counts(redis, success=1, released=1)

    asyncio.run(run())


def test_async_breaker_calls_what_turns_out_awaitable(redis: Redis) -> None:
    """A plain function may give an awaitable: it is awaited, and its end is the call's."""

    async def run() -> None:
        breaker = new_async_breaker(redis)
        in_thread: Any = circuit_breaker(breaker)(to_thread(work))
        in_wrapper: Any = circuit_breaker(breaker)(wrapped(coroutine_function))
        assert await breaker.call(lambda: coroutine_function()) == "done"  # noqa: PLW0108
        assert await breaker.call(functools.partial(coroutine_function)) == "done"
        assert await breaker.call(old_coroutine_function) == "done"
        assert await in_thread() == "done"
        assert await in_wrapper() == "done"

    asyncio.run(run())

    assert_counts(redis, success=5)


@pytest.mark.parametrize("max_staleness", [0, 0.2], ids=["by asking", "on a view"])
def test_async_generator_that_comes_out_is_refused(redis: Redis, max_staleness: float) -> None:
    """A plain function that returns an async generator is a TypeError and released."""
    breaker = new_breaker(redis, max_staleness=max_staleness)
    breaker.call(work)

    with pytest.raises(TypeError, match="would not see"):
        breaker.call(returns_async_generator)

    assert_counts(redis, success=1, released=1)


def test_wrapper_that_gives_no_stream_is_told_so(redis: Redis) -> None:
    """What wraps an async generator function and gives no async generator is a TypeError, and not counted."""

    @functools.wraps(async_generator_function)
    def wrapper() -> Any:
        return [1]

    async def run() -> None:
        stream: Any = new_async_breaker(redis).call(wrapper)
        with pytest.raises(TypeError, match="nothing to await"):
            await anext(stream)

    asyncio.run(run())

    assert redis.keys() == []


def test_refused_coroutine_function_warns_of_nothing(redis: Redis) -> None:
    """A refusal leaves no coroutine behind that was never awaited."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TypeError):
            _ = new_breaker(redis).call(coroutine_function)
        gc.collect()
