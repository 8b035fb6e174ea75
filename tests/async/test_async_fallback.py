"""Fallbacks on event loops: both kinds of them, cancellation, and what is refused."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, ParamSpec

import pytest
from async_calls import new_breaker, service_down, work
from redis import Redis

from circuit_in_redis import CircuitInRedis
from guarded_calls import ServiceDownError
from guarded_calls import work as plain_work
from sharedbreaker import AsyncCircuitBreaker, circuit_breaker

P = ParamSpec("P")
Guarded = Callable[[AsyncCircuitBreaker, Callable[..., Any], Callable[..., Any]], Awaitable[Any]]


def by_call(
    breaker: AsyncCircuitBreaker, func: Callable[..., Any], fallback: Callable[..., Any]
) -> Awaitable[Any]:
    answer: Awaitable[Any] = breaker.call(func, fallback=fallback)
    return answer


def by_decorator(
    breaker: AsyncCircuitBreaker, func: Callable[..., Any], fallback: Callable[..., Any]
) -> Awaitable[Any]:
    answer: Awaitable[Any] = circuit_breaker(breaker, fallback=fallback)(func)()
    return answer


def in_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


both_ways = pytest.mark.parametrize("guarded", [by_call, by_decorator])


def at_once(error: Exception) -> str:
    return f"instead of {type(error).__name__}"


async def later(error: Exception) -> str:
    await asyncio.sleep(0)
    return at_once(error)


def gives_an_awaitable(error: Exception) -> Coroutine[Any, Any, str]:
    return later(error)


@both_ways
@pytest.mark.parametrize("fallback", [at_once, later, gives_an_awaitable])
@in_a_loop
async def test_either_kind_of_fallback_answers(
    redis: Redis, guarded: Guarded, fallback: Callable[..., Any]
) -> None:
    """A plain function answers at once, and what a coroutine function gives is awaited."""
    breaker = new_breaker(redis)
    assert await guarded(breaker, work, fallback) == "done"
    for _ in range(3):
        assert await guarded(breaker, service_down, fallback) == "instead of ServiceDownError"
    assert await guarded(breaker, work, fallback) == "instead of CircuitBreakerError"

    metrics = await breaker.get_metrics()
    assert metrics["successful_calls"] == 1
    assert metrics["failed_calls"] == 3
    assert metrics["rejected_calls"] == 1
    assert metrics["total_calls"] == 5


@both_ways
@in_a_loop
async def test_the_error_of_a_coroutine_function_has_the_first_error_as_context(
    redis: Redis, guarded: Guarded
) -> None:
    """Who reads the traceback sees why there was a fallback; the books have the first failure alone."""

    async def broken(error: Exception) -> str:
        await asyncio.sleep(0)
        raise ServiceDownError("the other one")

    with pytest.raises(ServiceDownError, match="the other one") as caught:
        await guarded(new_breaker(redis), service_down, broken)

    assert isinstance(caught.value.__context__, ServiceDownError)
    assert CircuitInRedis(redis).number("failed_calls") == 1


@both_ways
@in_a_loop
async def test_a_cancelled_call_is_answered_by_nobody(redis: Redis, guarded: Guarded) -> None:
    """Cancellation goes through, with nothing run in its place."""
    has_begun = asyncio.Event()

    async def hangs() -> None:
        has_begun.set()
        await asyncio.Event().wait()

    answers: list[Exception] = []
    task = asyncio.ensure_future(guarded(new_breaker(redis), hangs, answers.append))
    await has_begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert answers == []


@both_ways
@in_a_loop
async def test_a_fallback_that_is_cancelled_owes_nothing(redis: Redis, guarded: Guarded) -> None:
    """When a fallback is cancelled its call has long been reported, as the failure that it was."""
    has_begun = asyncio.Event()

    async def hangs(error: Exception) -> None:
        has_begun.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(guarded(new_breaker(redis), service_down, hangs))
    await has_begun.wait()
    circuit = CircuitInRedis(redis)
    assert circuit.leases() == {}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert circuit.number("failed_calls") == 1
    assert circuit.number("released_calls") == 0


@in_a_loop
async def test_a_plain_function_that_blocks_is_not_hidden(redis: Redis) -> None:
    """A function that gives nothing to await is a programmer's error, whatever the fallback."""
    breaker = new_breaker(redis, expected_exception=Exception)
    with pytest.raises(TypeError, match="gives nothing to await"):
        await breaker.call(plain_work, fallback=at_once)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="gives nothing to await"):
        circuit_breaker(breaker, fallback=at_once)(at_once)  # type: ignore[arg-type]


async def pieces() -> AsyncIterator[int]:
    yield 1


@asynccontextmanager
async def block() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("func", [pieces, block])
@in_a_loop
async def test_async_streams_and_context_managers_take_no_fallback(
    redis: Redis, func: Callable[..., Any]
) -> None:
    """What fails in the middle cannot be answered for: refused when it is wrapped."""
    breaker = new_breaker(redis)
    with pytest.raises(TypeError, match="takes no fallback"):
        circuit_breaker(breaker, fallback=later)(func)
    with pytest.raises(TypeError, match="takes no fallback"):
        breaker.call(func, fallback=later)


@pytest.mark.parametrize("fallback", [pieces, block])
@in_a_loop
async def test_a_stream_is_no_fallback(redis: Redis, fallback: Callable[..., Any]) -> None:
    """A fallback is a plain function or a coroutine function."""
    with pytest.raises(TypeError, match="must be a plain function or coroutine function"):
        circuit_breaker(new_breaker(redis), fallback=fallback)(work)


@in_a_loop
async def test_no_fallback_and_one_of_the_functions_own(redis: Redis) -> None:
    """None is no fallback, and what may be meant for the function is refused at the call."""

    async def has_its_own(*, fallback: str) -> str:
        return fallback

    breaker = new_breaker(redis)
    with pytest.raises(ServiceDownError):
        await breaker.call(service_down, fallback=None)
    with pytest.raises(TypeError, match=r"functools\.partial"):
        await breaker.call(has_its_own, fallback="mine")
    assert await circuit_breaker(breaker, fallback=at_once)(has_its_own)(fallback="mine") == "mine"
