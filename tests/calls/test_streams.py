"""A generator function under a breaker: each stream is one call, from its first piece to its last."""

from __future__ import annotations

import functools
import gc
import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from typing import Any, cast

import pytest
from counted import assert_counts, counts, new_breaker
from redis import Redis

from guarded_calls import BadRequestError, ServiceDownError
from sharedbreaker import CircuitBreaker, CircuitBreakerError, Outcome, circuit_breaker, observation

Ask = Callable[..., Generator[int, Any, Any]]


def pieces(number: int = 3) -> Generator[int, None, str]:
    yield from range(number)
    return "whole"


def breaks(error: BaseException) -> Generator[int, None, None]:
    yield 1
    raise error


class Service:
    def pieces(self, number: int = 3) -> Generator[int, None, str]:
        return (yield from pieces(number))

    def __call__(self, number: int = 3) -> Generator[int, None, str]:
        return (yield from pieces(number))


def decorated(breaker: CircuitBreaker, func: Callable[..., Any]) -> Callable[..., Any]:
    return circuit_breaker(breaker)(func)


def by_call(breaker: CircuitBreaker, func: Callable[..., Any]) -> Callable[..., Any]:
    return functools.partial(breaker.call, func)


WAYS = pytest.mark.parametrize("guard", [decorated, by_call])


@WAYS
@pytest.mark.parametrize(
    "func",
    [pieces, functools.partial(pieces, 3), Service().pieces, Service()],
    ids=["function", "partial", "bound method", "instance"],
)
def test_whole_stream_is_one_success(redis: Redis, guard: Any, func: Any) -> None:
    """A stream is in flight from its first piece on, and one success when it is exhausted."""
    stream = guard(new_breaker(redis), func)()

    assert next(stream) == 0
    assert_counts(redis, in_flight=1)
    assert list(stream) == [1, 2]
    assert_counts(redis, success=1)


@WAYS
def test_stream_that_nobody_starts_takes_nothing(redis: Redis, guard: Any) -> None:
    """Made, and dropped or closed, a stream has asked for no admission and run nothing."""
    runs: list[int] = []

    def ask() -> Iterator[int]:
        runs.append(1)
        yield 1

    ask_guarded = guard(new_breaker(redis), ask)
    ask_guarded().close()
    del ask_guarded
    gc.collect()

    assert runs == []
    assert redis.keys() == []


@WAYS
@pytest.mark.parametrize(
    ("error", "outcome"),
    [(ServiceDownError(), "failure"), (BadRequestError(), "ignored"), (KeyboardInterrupt(), "released")],
)
def test_error_while_iterating_is_the_outcome(
    redis: Redis, guard: Any, error: BaseException, outcome: str
) -> None:
    """What breaks a stream reaches its consumer unchanged, and is classified as any error of a call."""
    stream = guard(new_breaker(redis), breaks)(error)

    next(stream)
    with pytest.raises(type(error)) as caught:
        next(stream)

    assert caught.value is error
    assert_counts(redis, **{outcome: 1})
    assert list(stream) == []


@WAYS
def test_rejection_comes_at_the_first_piece(redis: Redis, guard: Any) -> None:
    """While the circuit is open a stream can be made; its first piece raises, once, and nothing runs."""
    breaker = new_breaker(redis)
    breaker.force_open()
    runs: list[int] = []

    def ask() -> Iterator[int]:
        runs.append(1)
        yield 1

    stream = guard(breaker, ask)()
    with pytest.raises(CircuitBreakerError):
        next(stream)

    assert list(stream) == []
    assert runs == []
    assert_counts(redis, rejected=1)


def test_service_is_asked_how_long_to_stay_away(redis: Redis) -> None:
    """The failure of a stream that opens the circuit holds it open for as long as the service asked."""
    breaker = new_breaker(redis, failure_threshold=1, timeout=60, retry_after_of=lambda _: 7.0)

    with pytest.raises(ServiceDownError):
        list(breaker.call(breaks, ServiceDownError()))

    assert redis.hget("sharedbreaker:{orders}", "retry_after_ms") == "7000"


@WAYS
def test_consumer_who_closes_early_is_not_counted(redis: Redis, guard: Any) -> None:
    """A stream that is closed before its end is released, and the guarded generator cleans up at once."""
    cleaned: list[str] = []

    def ask() -> Iterator[int]:
        try:
            yield 1
        finally:
            cleaned.append("closed")

    stream = guard(new_breaker(redis), ask)()
    next(stream)
    stream.close()

    assert cleaned == ["closed"]
    assert_counts(redis, released=1)
    assert list(stream) == []


def test_error_of_the_cleanup_after_leaving_is_not_counted(redis: Redis) -> None:
    """Where closing the guarded generator fails, its consumer hears of it; the call is released."""

    def ask() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise ServiceDownError("could not hang up")

    stream = circuit_breaker(new_breaker(redis))(ask)()
    next(stream)
    with pytest.raises(ServiceDownError):
        stream.close()  # type: ignore[attr-defined]

    assert_counts(redis, released=1)


def test_error_of_the_consumer_is_not_counted(redis: Redis) -> None:
    """Whoever fails while it works on a piece leaves the stream; that says nothing about the service."""
    ask = circuit_breaker(new_breaker(redis))(pieces)

    def work() -> None:
        for _ in ask():
            raise ServiceDownError("of another service")

    with pytest.raises(ServiceDownError):
        work()

    gc.collect()
    assert_counts(redis, released=1)


@WAYS
def test_abandoned_stream_is_released_when_collected(redis: Redis, guard: Any) -> None:
    """A stream that is dropped without close, in a cycle, is released when the collector finds it."""
    stream = guard(new_breaker(redis), pieces)()
    next(stream)
    cycle: list[Any] = [stream]
    cycle.append(cycle)
    del stream, cycle
    gc.collect()

    assert_counts(redis, released=1)


def test_collector_may_run_while_the_thread_holds_a_lock(redis: Redis) -> None:
    """A stream that is collected while its own thread holds locks of the store asks nothing there."""
    breaker = new_breaker(redis)
    stream = circuit_breaker(breaker)(pieces)()
    next(stream)
    seen = weakref.ref(stream)
    holder: list[Any] = [stream]
    del stream
    asked_in: list[threading.Thread] = []

    def drop() -> None:
        with breaker._store._lock, breaker._store._settling, breaker._store._guard._lock:
            holder.clear()

    dropping = threading.Thread(target=drop, daemon=True)
    end = observation.observe_redis(
        lambda step, seconds, *, answered: asked_in.append(threading.current_thread())
    )
    try:
        dropping.start()
        dropping.join(10)
        assert seen() is None
        assert_counts(redis, released=1)
    finally:
        end()

    assert not dropping.is_alive()
    assert dropping not in asked_in


def test_stream_without_end_is_lost_when_its_lease_is_over(redis: Redis) -> None:
    """A stream that is neither read nor dropped is lost with its lease, and counts for nothing afterwards."""
    breaker = new_breaker(redis, lease_timeout=0.05)
    stream = breaker.call(pieces)
    next(stream)
    (lease,) = cast("list[str]", redis.zrange("sharedbreaker:{orders}:leases", 0, -1))
    redis.zincrby("sharedbreaker:{orders}:leases", -100, lease)
    redis.hincrby("sharedbreaker:{orders}", "reclaim_at", -100)
    breaker.call(str)

    list(stream)

    assert_counts(redis, success=1)
    assert redis.hget("sharedbreaker:{orders}", "lost_calls") == "1"


def test_arguments_that_do_not_fit_are_not_counted(redis: Redis) -> None:
    """Wrong arguments are the caller's TypeError at the first piece, before anything is admitted."""
    ask: Any = circuit_breaker(new_breaker(redis, expected_exception=Exception))(pieces)

    with pytest.raises(TypeError, match="nonsense"):
        next(ask(nonsense=1))

    assert redis.keys() == []


def logged(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)

    return wrapper


def returns_stream() -> Iterator[int]:
    return pieces()


def listed(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return list(func(*args, **kwargs))

    return wrapper


@WAYS
@pytest.mark.parametrize("func", [logged(pieces), returns_stream], ids=["wrapper", "plain function"])
def test_stream_that_comes_out_of_a_plain_function(redis: Redis, guard: Any, func: Any) -> None:
    """Where a plain function turns out to give a generator, its call lasts until that ends."""
    ask = guard(new_breaker(redis), func)

    assert list(ask()) == [0, 1, 2]
    assert_counts(redis, success=1)
    left = ask()
    next(left)
    left.close()
    assert_counts(redis, success=1, released=1)
    never_started = ask()
    assert counts(redis).in_flight == 1
    del never_started
    assert_counts(redis, success=1, released=2)


@WAYS
def test_wrapper_that_returns_all_pieces(redis: Redis, guard: Any) -> None:
    """A plain function that wraps a generator function and returns a list goes on to return a list."""
    assert guard(new_breaker(redis), listed(pieces))() == [0, 1, 2]
    assert_counts(redis, success=1)


def test_observers_are_told_of_whole_streams(redis: Redis) -> None:
    """Whoever watches calls is told of each stream once, when it ends, with its outcome."""
    breaker = new_breaker(redis)
    told: list[tuple[str, Outcome]] = []
    end = observation.observe_calls(lambda name, outcome, seconds: told.append((name, outcome)))
    try:
        for ask in (pieces, returns_stream):
            stream = breaker.call(ask)
            next(stream)
            assert told == []
            list(stream)
            assert told == [("orders", Outcome.SUCCESS)]
            told.clear()
        with pytest.raises(ServiceDownError):
            list(breaker.call(breaks, ServiceDownError()))
        assert told == [("orders", Outcome.FAILURE)]
    finally:
        end()
