"""Fallbacks: when one answers for the service, and what the circuit's books say of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from circuit_in_redis import (
    BadRequestError,
    CircuitInRedis,
    ServiceDownError,
    bad_request,
    fail,
    new_breaker,
    service_down,
    trip,
    trip_and_wait,
    work,
)
from sharedbreaker import CircuitBreaker, CircuitBreakerError, Outcome, circuit_breaker

Guarded = Callable[[CircuitBreaker, Callable[..., Any], Callable[..., Any]], Any]
"""Makes one call of a function under a breaker, with a fallback."""


def by_call(breaker: CircuitBreaker, func: Callable[..., Any], fallback: Callable[..., Any]) -> Any:
    return breaker.call(func, fallback=fallback)


def by_decorator(breaker: CircuitBreaker, func: Callable[..., Any], fallback: Callable[..., Any]) -> Any:
    return circuit_breaker(breaker, fallback=fallback)(func)()


both_ways = pytest.mark.parametrize("guarded", [by_call, by_decorator])


class Fallbacks:
    """A fallback that remembers what it was called with."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def __call__(self, error: Exception) -> str:
        self.errors.append(error)
        return "instead"


@both_ways
def test_the_service_answers_while_it_can(redis: Redis, guarded: Guarded) -> None:
    """A call that succeeds is not answered by its fallback."""
    fallback = Fallbacks()

    assert guarded(new_breaker(redis), work, fallback) == "done"
    assert fallback.errors == []


@both_ways
def test_a_rejection_is_answered_by_the_fallback(redis: Redis, guarded: Guarded) -> None:
    """The fallback of a rejected call gets the rejection, and what it returns is the answer."""
    breaker = new_breaker(redis)
    trip(breaker, redis)
    fallback = Fallbacks()

    assert guarded(breaker, work, fallback) == "instead"
    [error] = fallback.errors
    assert isinstance(error, CircuitBreakerError)
    assert error.retry_after is not None


@both_ways
def test_a_failure_is_answered_by_the_fallback(redis: Redis, guarded: Guarded) -> None:
    """The fallback of a failed call gets the service's own error."""
    fallback = Fallbacks()

    assert guarded(new_breaker(redis), service_down, fallback) == "instead"
    assert isinstance(fallback.errors[0], ServiceDownError)


@both_ways
def test_an_ignored_error_is_the_callers(redis: Redis, guarded: Guarded) -> None:
    """An error that says nothing about the service is raised as it is."""
    fallback = Fallbacks()
    with pytest.raises(BadRequestError, match="400"):
        guarded(new_breaker(redis), bad_request, fallback)

    assert fallback.errors == []


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interruption_is_answered_by_nobody(redis: Redis, interruption: type[BaseException]) -> None:
    """Whoever wants the process to end is obeyed."""

    def interrupted() -> None:
        raise interruption

    fallback = Fallbacks()
    with pytest.raises(interruption):
        new_breaker(redis, expected_exception=Exception).call(interrupted, fallback=fallback)

    assert fallback.errors == []


def test_what_the_classifier_says_decides(redis: Redis) -> None:
    """Where `expected_exception` is a function, the fallback answers for what it calls a failure."""

    def judge(error: Exception) -> Outcome:
        return Outcome.FAILURE if "down" in str(error) else Outcome.IGNORED

    def ask(text: str) -> str:
        raise RuntimeError(text)

    breaker = new_breaker(redis, expected_exception=judge)

    assert breaker.call(ask, "down", fallback=str) == "down"
    with pytest.raises(RuntimeError, match="quota"):
        breaker.call(ask, "quota", fallback=str)


def test_the_rejection_of_another_circuit_is_one(redis: Redis) -> None:
    """A function that is itself rejected by a circuit further on is answered for."""
    inner = new_breaker(redis, name="inner")
    inner.force_open()
    outer = new_breaker(redis, name="outer")

    def ask() -> str:
        raise CircuitBreakerError("inner", inner.snapshot().state, None, "held_open")

    assert outer.call(ask, fallback=lambda error: error.name) == "inner"  # type: ignore[attr-defined]
    assert outer.get_metrics()["ignored_calls"] == 1


@both_ways
def test_the_books_have_the_calls_own_outcome(redis: Redis, guarded: Guarded) -> None:
    """What a fallback returns is no success: failures open the circuit, and rejections are tallied."""
    breaker = new_breaker(redis)
    for _ in range(3):
        assert guarded(breaker, service_down, Fallbacks()) == "instead"
    circuit = CircuitInRedis(redis)
    assert circuit.field("state") == "open"
    assert guarded(breaker, work, Fallbacks()) == "instead"

    metrics = breaker.get_metrics()
    assert metrics["failed_calls"] == 3
    assert metrics["rejected_calls"] == 1
    assert metrics["successful_calls"] == 0
    assert metrics["total_calls"] == 4


@both_ways
def test_the_error_of_a_fallback_counts_for_nothing(redis: Redis, guarded: Guarded) -> None:
    """A fallback that fails, even in the service's way, adds nothing to the books."""
    breaker = new_breaker(redis)

    def broken(error: Exception) -> str:
        raise ServiceDownError("the other service is down, too")

    with pytest.raises(ServiceDownError, match="too"):
        guarded(breaker, service_down, broken)

    circuit = CircuitInRedis(redis)
    assert circuit.number("failed_calls") == 1
    assert circuit.number("failure_count") == 1
    assert circuit.leases() == {}


@both_ways
def test_the_error_of_a_fallback_has_the_first_error_as_context(redis: Redis, guarded: Guarded) -> None:
    """Who reads the traceback sees why there was a fallback at all."""

    def broken(error: Exception) -> str:
        raise KeyError("cache")

    with pytest.raises(KeyError) as caught:
        guarded(new_breaker(redis), service_down, broken)

    assert isinstance(caught.value.__context__, ServiceDownError)


@both_ways
def test_a_fallback_may_raise_the_error_that_it_got(redis: Redis, guarded: Guarded) -> None:
    """A fallback for rejections alone hands all else on, unchanged."""
    breaker = new_breaker(redis)

    def only_rejections(error: Exception) -> str:
        if not isinstance(error, CircuitBreakerError):
            raise error
        return "instead"

    with pytest.raises(ServiceDownError, match="503") as caught:
        guarded(breaker, service_down, only_rejections)
    assert caught.value.__context__ is None
    fail(breaker, 2)
    assert guarded(breaker, work, only_rejections) == "instead"


@both_ways
def test_a_fallback_holds_no_place_of_a_probe(redis: Redis, guarded: Guarded) -> None:
    """When the fallback runs, its call has been reported, and whoever comes next sees the circuit so."""
    breaker = new_breaker(redis)
    circuit = trip_and_wait(breaker, redis)
    seen: list[Any] = []

    def look(error: Exception) -> str:
        seen.append((circuit.field("state"), circuit.leases()))
        return "instead"

    assert guarded(breaker, service_down, look) == "instead"
    assert seen == [("open", {})]


def test_arguments_are_the_functions(redis: Redis) -> None:
    """All but the fallback goes to the function, and the fallback gets the error alone."""

    def ask(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    assert new_breaker(redis).call(ask, 1, key=2, fallback=Fallbacks()) == ((1,), {"key": 2})


def test_no_fallback_is_none(redis: Redis) -> None:
    """None stands for no fallback, in `call` and in the decorator, and does not get to the function."""
    breaker = new_breaker(redis)
    assert breaker.call(work, fallback=None) == "done"
    with pytest.raises(ServiceDownError):
        breaker.call(service_down, fallback=None)
    with pytest.raises(ServiceDownError):
        circuit_breaker(breaker, fallback=None)(service_down)()


def test_a_guarded_function_stays_what_it_says_of_itself(redis: Redis) -> None:
    """The decorator with a fallback keeps the name, too."""
    guarded = circuit_breaker(new_breaker(redis), fallback=Fallbacks())(work)

    assert guarded.__name__ == "work"
    assert guarded.__wrapped__ is work  # type: ignore[attr-defined]
