"""Outcomes: what the end of a call says about the service, and that its caller gets it unchanged."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from circuit_in_redis import (
    OUTCOME_TALLIES,
    BadRequestError,
    CircuitInRedis,
    ServiceDownError,
    be_ignored,
    be_rejected,
    fail,
    new_breaker,
    service_down,
    succeed,
    trip,
)
from sharedbreaker import CircuitBreaker, CircuitBreakerError


class LeavingError(BaseException):
    """Somebody's own way of ending a process."""


class WorseError(ServiceDownError):
    """A subclass of the expected exception."""


GIVEN_UP = [
    KeyboardInterrupt(),
    SystemExit(3),
    GeneratorExit(),
    asyncio.CancelledError(),
    LeavingError(),
]


def raising(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


def end_with(breaker: CircuitBreaker, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        breaker.call(raising(error))
    assert caught.value is error


def test_every_exception_fails_by_default(redis: Redis) -> None:
    """Without expected_exception every Exception is the service's failure."""
    breaker = CircuitBreaker(name="orders", redis=redis)

    end_with(breaker, RuntimeError("x"))

    assert breaker.get_metrics()["failed_calls"] == 1


def test_expected_class_fails(redis: Redis) -> None:
    """An exception of the expected class, or of a subclass, is a failure."""
    breaker = new_breaker(redis, expected_exception=ServiceDownError)

    end_with(breaker, ServiceDownError())
    end_with(breaker, WorseError())

    assert breaker.get_metrics()["failed_calls"] == 2


def test_tuple_of_classes_fails(redis: Redis) -> None:
    """An exception of any class of the tuple is a failure, any other is ignored."""
    breaker = new_breaker(redis, expected_exception=(ServiceDownError, TimeoutError))

    end_with(breaker, TimeoutError())
    end_with(breaker, WorseError())
    end_with(breaker, ValueError())

    metrics = breaker.get_metrics()
    assert (metrics["failed_calls"], metrics["ignored_calls"]) == (2, 1)


def test_predicate_decides(redis: Redis) -> None:
    """A function given as expected_exception decides for each exception."""
    breaker = new_breaker(redis, expected_exception=lambda error: "5" in str(error))

    end_with(breaker, ValueError("503"))
    end_with(breaker, ValueError("404"))

    metrics = breaker.get_metrics()
    assert (metrics["failed_calls"], metrics["ignored_calls"]) == (1, 1)


def test_predicate_sees_the_exception_itself(redis: Redis) -> None:
    """The predicate is given the very exception that the call raised."""
    seen: list[Exception] = []
    error = ValueError("x")

    def look(given: Exception) -> bool:
        seen.append(given)
        return False

    breaker = new_breaker(redis, expected_exception=look)

    end_with(breaker, error)

    assert seen == [error]


def test_predicate_that_raises_does_not_replace_the_error(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """When the predicate itself fails, the caller gets the call's error and the log says what happened."""

    def broken(_: Exception) -> bool:
        raise LookupError("predicate")

    breaker = new_breaker(redis, expected_exception=broken)

    end_with(breaker, ServiceDownError("503"))

    assert "expected_exception" in caplog.text
    assert breaker.get_metrics()["total_calls"] == 1
    assert CircuitInRedis(redis).leases() == {}


def test_other_exceptions_are_ignored(redis: Redis) -> None:
    """An exception that is not expected is tallied as ignored and moves neither state nor counts."""
    breaker = new_breaker(redis, failure_threshold=1)

    be_ignored(breaker, 3)

    metrics = breaker.get_metrics()
    assert (metrics["state"], metrics["current_failure_count"]) == ("closed", 0)
    assert (metrics["ignored_calls"], metrics["failed_calls"]) == (3, 0)


@pytest.mark.parametrize("error", GIVEN_UP, ids=lambda error: type(error).__name__)
def test_call_that_was_given_up_is_released(redis: Redis, error: BaseException) -> None:
    """A BaseException passes unchanged, is tallied apart, and is neither a failure nor in any total."""
    breaker = new_breaker(redis, failure_threshold=1)

    end_with(breaker, error)

    metrics = breaker.get_metrics()
    assert (metrics["state"], metrics["total_calls"], metrics["released_calls"]) == ("closed", 0, 1)
    assert CircuitInRedis(redis).leases() == {}


@pytest.mark.parametrize("error", GIVEN_UP, ids=lambda error: type(error).__name__)
def test_given_up_call_is_released_whatever_the_predicate_says(redis: Redis, error: BaseException) -> None:
    """A predicate that says yes to everything is not asked about a BaseException."""
    breaker = new_breaker(redis, failure_threshold=1, expected_exception=lambda _: True)

    end_with(breaker, error)

    assert breaker.get_metrics()["released_calls"] == 1


def test_released_call_does_not_reset_the_failure_count(redis: Redis) -> None:
    """A released call between failures neither counts nor resets."""
    breaker = new_breaker(redis)

    fail(breaker, 2)
    end_with(breaker, KeyboardInterrupt())

    assert breaker.get_state()["failure_count"] == 2


@pytest.mark.parametrize("error", [ServiceDownError("503"), BadRequestError("400"), KeyboardInterrupt()])
def test_same_exception_object_is_raised(redis: Redis, error: BaseException) -> None:
    """The caller gets the very object that the function raised."""
    end_with(new_breaker(redis), error)


def test_traceback_and_cause_are_kept(redis: Redis) -> None:
    """The exception's traceback leads into the function, and its __cause__ is still there."""
    reason = OSError("cable")

    def deep_inside() -> None:
        raise ServiceDownError("503") from reason

    with pytest.raises(ServiceDownError) as caught:
        new_breaker(redis).call(deep_inside)

    assert caught.value.__cause__ is reason
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames[-1] == "deep_inside"


def test_error_raised_by_the_breaker_has_no_foreign_context(redis: Redis) -> None:
    """The service's error is not chained to anything that the breaker did."""
    with pytest.raises(ServiceDownError) as caught:
        new_breaker(redis).call(raising(ServiceDownError("503")))

    assert caught.value.__context__ is None


def test_refusal_by_an_inner_breaker_is_no_failure(redis: Redis) -> None:
    """A CircuitBreakerError that comes out of the call says nothing about this call's service."""
    inner = new_breaker(redis, name="inner")
    outer = new_breaker(redis, name="outer", failure_threshold=1, expected_exception=Exception)
    trip(inner, redis, "inner")

    with pytest.raises(CircuitBreakerError) as caught:
        outer.call(inner.call, int)

    assert caught.value.name == "inner"
    metrics = outer.get_metrics()
    assert (metrics["state"], metrics["failed_calls"], metrics["ignored_calls"]) == ("closed", 0, 1)


def test_refusal_inside_is_no_failure_whatever_the_predicate_says(redis: Redis) -> None:
    """A refusal from inside is not a failure with a predicate that says yes to everything either."""
    inner = new_breaker(redis, name="inner")
    outer = new_breaker(redis, name="outer", failure_threshold=1, expected_exception=lambda _: True)
    trip(inner, redis, "inner")

    with pytest.raises(CircuitBreakerError):
        outer.call(inner.call, int)

    assert outer.get_metrics()["failed_calls"] == 0


def test_total_is_the_sum_of_the_outcomes(redis: Redis) -> None:
    """total_calls = successful + failed + rejected + ignored; released calls are in no total."""
    breaker = new_breaker(redis)
    succeed(breaker, 4)
    be_ignored(breaker, 2)
    end_with(breaker, SystemExit())
    fail(breaker, 3)
    be_rejected(breaker)

    metrics = breaker.get_metrics()

    assert [metrics[name] for name in OUTCOME_TALLIES] == [4, 3, 1, 2]
    assert (metrics["total_calls"], metrics["released_calls"]) == (10, 1)


def test_one_guarded_call_is_one_outcome(redis: Redis) -> None:
    """A function that retries inside counts once, as it ended."""
    breaker = new_breaker(redis, failure_threshold=2)

    def retries() -> str:
        for _ in range(4):
            with contextlib.suppress(ServiceDownError):
                service_down()
        return "at last"

    assert breaker.call(retries) == "at last"
    assert breaker.get_metrics()["successful_calls"] == 1
    assert breaker.get_metrics()["failed_calls"] == 0


def test_exception_without_a_usable_name_or_text_is_counted(redis: Redis) -> None:
    """An exception whose type has an endless name and whose text cannot be made passes unchanged."""

    class NastyError(ServiceDownError):
        def __str__(self) -> str:
            raise RuntimeError("no text")

        __repr__ = __str__

    NastyError.__qualname__ = NastyError.__name__ = "Ü\n{" * 500
    error: Any = NastyError()
    breaker = new_breaker(redis)

    end_with(breaker, error)

    assert breaker.get_metrics()["failed_calls"] == 1
    assert len(CircuitInRedis(redis).fields()["last_failure_type"]) <= 200
