"""What an AsyncCircuitBreaker may guard: coroutine functions of every kind, and nothing that blocks."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from async_calls import be_rejected, ends_of, fail, new_breaker, succeed, work
from redis import Redis

from circuit_in_redis import CircuitInRedis
from circuit_in_redis import new_breaker as new_breaker_for_threads
from guarded_calls import ServiceDownError
from guarded_calls import work as plain_work
from sharedbreaker import CircuitBreakerError, circuit_breaker
from sharedbreaker.demo.redis_server import RedisServer


class Service:
    async def method(self) -> str:
        return await work()

    async def __call__(self) -> str:
        return await work()


class Answer:
    """An awaitable that is no coroutine."""

    def __await__(self) -> Any:
        yield from asyncio.sleep(0).__await__()
        return "done"


def gives_a_coroutine() -> Coroutine[Any, Any, str]:
    return work()


def gives_an_answer() -> Answer:
    return Answer()


def gives_a_task() -> asyncio.Task[str]:
    return asyncio.create_task(work())


COROUTINE_FUNCTIONS: list[Any] = [
    work,
    functools.partial(work),
    Service().method,
    Service(),
    functools.wraps(work)(gives_a_coroutine),
]
AWAITABLE_COMES_OUT: list[Any] = [gives_a_coroutine, gives_an_answer, gives_a_task]


def by_kind(function: object) -> str:
    return getattr(function, "__name__", type(function).__name__)


@pytest.mark.parametrize("staleness", [0, 60])
@pytest.mark.parametrize("function", COROUTINE_FUNCTIONS + AWAITABLE_COMES_OUT, ids=by_kind)
def test_call_awaits_what_comes_out(
    redis: Redis, function: Callable[[], Awaitable[str]], staleness: float
) -> None:
    """Whatever returns an awaitable is awaited under the breaker, and counts once."""
    breaker = new_breaker(redis, max_staleness=staleness)

    async def whole() -> None:
        assert await breaker.call(function) == "done"

    asyncio.run(whole())
    breaker._store.settle_at_exit()

    assert ends_of(CircuitInRedis(redis)) == {"successful_calls": 1}


@pytest.mark.parametrize("function", COROUTINE_FUNCTIONS, ids=by_kind)
def test_decorated_coroutine_function_runs_under_its_breaker(
    redis: Redis, function: Callable[[], Awaitable[str]]
) -> None:
    """Each call of a decorated coroutine function is one call of the breaker."""
    guarded = circuit_breaker(new_breaker(redis))(function)

    assert inspect.iscoroutinefunction(guarded)
    assert asyncio.run(guarded()) == "done"
    assert ends_of(CircuitInRedis(redis)) == {"successful_calls": 1}


def test_decorated_coroutine_function_is_still_itself(redis: Redis) -> None:
    """Name, docstring, signature and arguments are those of the function, and its circuit rejects it."""
    breaker = new_breaker(redis)

    @circuit_breaker(breaker)
    async def explain(topic: str, *, level: int = 1) -> str:
        """Explain a topic."""
        if not topic:
            raise ServiceDownError("503")
        return topic * level

    async def whole() -> None:
        assert await explain("ab", level=2) == "abab"
        for _ in range(3):
            with pytest.raises(ServiceDownError):
                await explain("")
        with pytest.raises(CircuitBreakerError):
            await explain("ab")

    asyncio.run(whole())
    assert (explain.__name__, explain.__doc__) == ("explain", "Explain a topic.")
    assert str(inspect.signature(explain)) == "(topic: 'str', *, level: 'int' = 1) -> 'str'"


@pytest.mark.parametrize(
    "function", [plain_work, len, functools.partial(plain_work), "done".lower], ids=by_kind
)
def test_decorator_refuses_plain_functions(redis: Redis, function: Any) -> None:
    """A plain function is refused with TypeError where it is decorated, and nothing is counted."""
    breaker = new_breaker(redis)

    with pytest.raises(TypeError, match="orders"):
        circuit_breaker(breaker)(function)

    assert CircuitInRedis(redis).fields() == {}


@pytest.mark.parametrize("function", COROUTINE_FUNCTIONS, ids=by_kind)
def test_breaker_for_threads_refuses_them(redis: Redis, function: Any) -> None:
    """A CircuitBreaker refuses a coroutine function where it is decorated, and nothing is counted."""
    with pytest.raises(TypeError):
        circuit_breaker(new_breaker_for_threads(redis))(function)

    assert CircuitInRedis(redis).fields() == {}


@pytest.mark.parametrize("staleness", [0, 60])
def test_plain_function_that_is_called_says_nothing_about_the_service(redis: Redis, staleness: float) -> None:
    """A plain function under `call` is a TypeError, and neither a failure nor a success of the service."""
    breaker = new_breaker(redis, failure_threshold=1, expected_exception=Exception, max_staleness=staleness)
    circuit = CircuitInRedis(redis)
    plain: Any = plain_work

    async def whole() -> None:
        await succeed(breaker)
        for _ in range(2):
            with pytest.raises(TypeError, match="orders"):
                await breaker.call(plain)

    asyncio.run(whole())
    breaker._store.settle_at_exit()

    assert ends_of(circuit) == {"successful_calls": 1, "released_calls": 2}
    assert circuit.leases() == {}


def test_type_error_of_the_function_itself_is_its_outcome(redis: Redis) -> None:
    """A coroutine function that raises TypeError has raised an exception like any other."""
    breaker = new_breaker(redis, expected_exception=TypeError)

    async def confused() -> None:
        raise TypeError("of the service")

    async def whole() -> None:
        with pytest.raises(TypeError, match="of the service"):
            await breaker.call(confused)

    asyncio.run(whole())

    assert ends_of(CircuitInRedis(redis)) == {"failed_calls": 1}


def test_both_kinds_share_one_circuit(redis_server: RedisServer, redis: Redis) -> None:
    """Failures seen by a breaker of either kind add up, and both reject when they have opened it."""
    for_loops, for_threads = new_breaker(redis_server.url), new_breaker_for_threads(redis_server.url)

    def down() -> None:
        raise ServiceDownError("503")

    async def whole() -> None:
        await fail(for_loops)
        for _ in range(2):
            with pytest.raises(ServiceDownError):
                await asyncio.to_thread(for_threads.call, down)
        await be_rejected(for_loops)
        assert (await for_loops.get_metrics()) | {"uptime_seconds": 0} == (
            await asyncio.to_thread(for_threads.get_metrics)
        ) | {"uptime_seconds": 0}

    asyncio.run(whole())

    with pytest.raises(CircuitBreakerError):
        for_threads.call(plain_work)
    assert ends_of(CircuitInRedis(redis)) == {"failed_calls": 3, "rejected_calls": 2}
