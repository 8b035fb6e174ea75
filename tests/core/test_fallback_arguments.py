"""What may be a fallback and who may have one, and whose argument ``fallback`` is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from redis import Redis

from circuit_in_redis import new_breaker, work
from sharedbreaker import circuit_breaker


def instead(error: Exception) -> str:
    return "instead"


def has_its_own(*, fallback: str | None = None) -> str | None:
    return fallback


class HasItsOwn:
    def method(self, fallback: str = "its own") -> str:
        return fallback

    def __call__(self, fallback: str = "its own") -> str:
        return fallback


def _marked(func: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)

    wrapper.__wrapped__ = func  # type: ignore[attr-defined]
    return wrapper


@pytest.mark.parametrize(
    "func",
    [has_its_own, HasItsOwn().method, HasItsOwn(), partial(HasItsOwn().method), _marked(has_its_own)],
    ids=["function", "method", "instance", "partial", "wrapper"],
)
@pytest.mark.parametrize("given", [None, "text", str])
def test_an_argument_that_may_be_meant_for_the_function_is_refused(
    redis: Redis, func: Callable[..., Any], given: Any
) -> None:
    """`call` neither keeps nor hands on what may be for either, and says what to write."""
    with pytest.raises(TypeError, match=r"functools\.partial\(func, fallback="):
        new_breaker(redis).call(func, fallback=given)


def test_a_function_with_its_own_fallback_has_a_way(redis: Redis) -> None:
    """A partial and the decorator say which argument is whose."""
    breaker = new_breaker(redis)
    breaker.force_open()
    closed = new_breaker(redis, name="closed")

    assert closed.call(partial(has_its_own, fallback="mine"), fallback=instead) == "mine"
    assert breaker.call(partial(has_its_own, fallback="mine"), fallback=instead) == "instead"
    assert circuit_breaker(closed, fallback=instead)(has_its_own)(fallback="mine") == "mine"
    assert circuit_breaker(closed)(has_its_own)(fallback="mine") == "mine"


def by_position(fallback: str, /) -> str:
    return fallback


@pytest.mark.parametrize("func", [by_position, _marked(by_position)], ids=["function", "wrapper"])
def test_a_parameter_without_keyword_is_not_meant(redis: Redis, func: Callable[..., Any]) -> None:
    """A function that takes something of that name by position alone may have a fallback."""
    assert new_breaker(redis).call(func, "mine", fallback=instead) == "mine"


def test_what_has_no_signature_has_no_such_parameter(redis: Redis) -> None:
    """Callables that are written in C and tell nothing of their parameters take a fallback."""
    assert new_breaker(redis).call(dict, [(1, 2)], fallback=instead) == {1: 2}
    assert new_breaker(redis).call(max, 1, 2, fallback=instead) == 2


@pytest.mark.parametrize("no_function", ["text", 3, ()])
def test_a_fallback_must_be_a_function(redis: Redis, no_function: Any) -> None:
    """Whatever cannot be called is refused before the call is made, with the circuit's name."""
    breaker = new_breaker(redis)
    with pytest.raises(TypeError, match="circuit 'orders': fallback must be a function that takes the error"):
        breaker.call(work, fallback=no_function)
    with pytest.raises(TypeError, match="fallback must be a function"):
        circuit_breaker(breaker, fallback=no_function)(work)

    assert not redis.exists("sharedbreaker:{orders}")


def pieces() -> Iterator[int]:
    yield 1


@contextmanager
def block() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("func", [pieces, block])
@pytest.mark.sync_only("an AsyncCircuitBreaker refuses these anyway")
def test_streams_and_context_managers_take_no_fallback(redis: Redis, func: Callable[..., Any]) -> None:
    """What fails in the middle cannot be answered for: refused when it is wrapped."""
    breaker = new_breaker(redis)
    with pytest.raises(TypeError, match="takes no fallback"):
        circuit_breaker(breaker, fallback=instead)(func)
    with pytest.raises(TypeError, match="takes no fallback"):
        breaker.call(func, fallback=instead)


async def asynchronous(error: Exception) -> str:
    return "instead"


@pytest.mark.parametrize("fallback", [asynchronous, pieces, block])
@pytest.mark.sync_only("an AsyncCircuitBreaker takes coroutine functions")
def test_a_fallback_gives_its_answer_at_once(redis: Redis, fallback: Callable[..., Any]) -> None:
    """A CircuitBreaker's fallback is a plain function: nobody would await what another gives."""
    with pytest.raises(TypeError, match="must be a plain function that takes the error"):
        circuit_breaker(new_breaker(redis), fallback=fallback)(work)


@pytest.mark.sync_only("an AsyncCircuitBreaker awaits what comes out")
def test_a_misused_breaker_is_not_hidden(redis: Redis) -> None:
    """No fallback answers where a function gives what this breaker cannot watch: its author must see that."""

    def gives_a_coroutine() -> Any:
        return asynchronous(ValueError())

    breaker = new_breaker(redis, expected_exception=Exception)
    errors: list[Exception] = []
    with pytest.raises(TypeError, match="AsyncCircuitBreaker serves"):
        breaker.call(gives_a_coroutine, fallback=errors.append)
    with pytest.raises(TypeError, match="AsyncCircuitBreaker serves"):
        circuit_breaker(breaker, fallback=errors.append)(asynchronous)

    assert errors == []
    assert breaker.get_metrics()["failed_calls"] == 0
