"""The decorator and ``call``: what may be guarded, and what a guarded function still is."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Coroutine
from typing import Any
from unittest.mock import MagicMock, Mock

import pytest
from redis import Redis

from circuit_in_redis import CircuitInRedis, ServiceDownError, new_breaker, trip_and_wait, work
from sharedbreaker import CircuitBreakerError, circuit_breaker


async def asynchronous(number: int = 1) -> int:
    return number


class AsynchronousCallable:
    async def __call__(self) -> int:
        return 1

    async def method(self) -> int:
        return 1


def returns_a_coroutine() -> Coroutine[Any, Any, int]:
    return asynchronous()


awaited_by_the_other_kind = pytest.mark.sync_only("an AsyncCircuitBreaker awaits what comes out")
COROUTINE_COMES_OUT: Callable[[], Any] = returns_a_coroutine


def test_decorated_function_runs_under_its_breaker(redis: Redis) -> None:
    """Every call of a decorated function is one call of the breaker."""
    breaker = new_breaker(redis)

    @circuit_breaker(breaker)
    def double(number: int) -> int:
        return 2 * number

    assert double(4) == 8
    assert double(number=5) == 10
    assert breaker.get_metrics()["successful_calls"] == 2


def test_decorated_function_is_rejected_while_open(redis: Redis) -> None:
    """A decorated function whose failures open the circuit is not run any more."""
    breaker = new_breaker(redis)
    runs: list[int] = []

    @circuit_breaker(breaker)
    def down() -> None:
        runs.append(1)
        raise ServiceDownError("503")

    for _ in range(3):
        with pytest.raises(ServiceDownError):
            down()
    with pytest.raises(CircuitBreakerError):
        down()

    assert len(runs) == 3


def test_decorator_keeps_what_the_function_says_of_itself(redis: Redis) -> None:
    """Name, docstring, signature, annotations and __wrapped__ are those of the function."""

    def explain(topic: str, *, level: int = 1) -> str:
        """Explain a topic."""
        return topic * level

    guarded = circuit_breaker(new_breaker(redis))(explain)

    assert guarded.__name__ == "explain"
    assert guarded.__qualname__ == explain.__qualname__
    assert guarded.__doc__ == "Explain a topic."
    assert guarded.__module__ == __name__
    assert inspect.signature(guarded) == inspect.signature(explain)
    assert typing.get_type_hints(guarded) == {"topic": str, "level": int, "return": str}
    assert inspect.unwrap(guarded) is explain


def test_decorated_method_knows_its_object(redis: Redis) -> None:
    """Methods, static methods and class methods can be decorated."""
    guarded = circuit_breaker(new_breaker(redis))

    class Service:
        name = "service"

        @guarded
        def method(self) -> str:
            return self.name

        @staticmethod
        @guarded
        def static(word: str) -> str:
            return word

        @classmethod
        @guarded
        def of_class(cls) -> str:
            return cls.__name__

    service = Service()
    assert (service.method(), service.static("word"), service.of_class()) == ("service", "word", "Service")


COROUTINE_FUNCTIONS: list[Callable[..., Any]] = [
    asynchronous,
    functools.partial(asynchronous, 2),
    functools.partial(functools.partial(asynchronous), 2),
    AsynchronousCallable(),
    AsynchronousCallable().method,
]
IDS = ["function", "partial", "partial of partial", "callable object", "bound method"]


@pytest.mark.parametrize("function", COROUTINE_FUNCTIONS, ids=IDS)
def test_decorator_refuses_coroutine_functions(redis: Redis, function: Callable[..., Any]) -> None:
    """A coroutine function is refused with TypeError where it is decorated."""
    with pytest.raises(TypeError):
        circuit_breaker(new_breaker(redis))(function)


@pytest.mark.parametrize("function", COROUTINE_FUNCTIONS, ids=IDS)
def test_call_refuses_coroutine_functions(redis: Redis, function: Callable[..., Any]) -> None:
    """A coroutine function is refused with TypeError where it is called, and is not run or counted."""
    breaker = new_breaker(redis)

    with pytest.raises(TypeError):
        breaker.call(function)

    assert breaker.get_metrics()["total_calls"] == 0
    assert CircuitInRedis(redis).leases() == {}


@awaited_by_the_other_kind
def test_coroutine_that_comes_out_of_a_function_is_refused(redis: Redis) -> None:
    """A plain function that returns a coroutine gets a TypeError: its outcome is not known yet."""
    breaker = new_breaker(redis)

    with pytest.raises(TypeError):
        breaker.call(COROUTINE_COMES_OUT)

    metrics = breaker.get_metrics()
    assert (metrics["successful_calls"], metrics["failed_calls"]) == (0, 0)


@awaited_by_the_other_kind
def test_coroutine_that_comes_out_of_a_probe_frees_its_place(redis: Redis) -> None:
    """A probe that returns a coroutine is released: no state moves, and its place is free."""
    breaker = new_breaker(redis, half_open_max_calls=1, expected_exception=Exception)
    circuit = trip_and_wait(breaker, redis)

    with pytest.raises(TypeError):
        breaker.call(COROUTINE_COMES_OUT)

    assert circuit.field("state") == "half_open"
    assert circuit.field("success_count") == "0"
    assert circuit.leases() == {}


@awaited_by_the_other_kind
def test_coroutine_that_comes_out_of_a_decorated_function_is_refused(redis: Redis) -> None:
    """A decorated plain function that returns a coroutine gets a TypeError as well."""
    breaker = new_breaker(redis)

    with pytest.raises(TypeError):
        circuit_breaker(breaker)(COROUTINE_COMES_OUT)()

    assert breaker.get_metrics()["successful_calls"] == 0


class RemoteMethod:
    """As remote proxies such as xmlrpc's: asked for whatever, it answers with one more of its kind."""

    def __getattr__(self, name: str) -> RemoteMethod:
        return RemoteMethod()

    def __call__(self) -> str:
        return "done"


class SelfWrapped:
    """A callable that says it wraps itself."""

    @property
    def __wrapped__(self) -> SelfWrapped:
        return self

    def __call__(self) -> str:
        return "done"


@pytest.mark.parametrize(
    "function",
    [
        RemoteMethod(),
        RemoteMethod().some.method,
        SelfWrapped(),
        Mock(return_value="done"),
        MagicMock(return_value="done"),
        functools.partial(str, "done"),
        functools.lru_cache(work),
        "done".lower,
    ],
    ids=lambda function: type(function).__name__,
)
def test_any_plain_callable_may_be_guarded(redis: Redis, function: Callable[[], str]) -> None:
    """A call that would succeed without the breaker succeeds with it, whatever kind of callable it is."""
    breaker = new_breaker(redis)

    assert breaker.call(function) == "done"
    assert circuit_breaker(breaker)(function)() == "done"


@pytest.mark.parametrize("nonsense", [None, "orders", 5, asynchronous])
def test_decorator_refuses_what_is_no_breaker(nonsense: Any) -> None:
    """circuit_breaker(x) where x is no CircuitBreaker is a TypeError, at once or where it decorates."""
    with pytest.raises(TypeError):
        circuit_breaker(nonsense)(int)


def test_decorator_without_its_breaker_is_refused() -> None:
    """Writing @circuit_breaker without a breaker is a TypeError, not a function that never runs."""
    forgotten: Any = circuit_breaker

    with pytest.raises(TypeError):
        forgotten(work)(work)
