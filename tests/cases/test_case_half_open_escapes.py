"""A probe that ends in neither success nor failure gives its place back: SB-003 and SB-005."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from case_views import EITHER_VIEW, open_and_over, pass_time
from celery.exceptions import SoftTimeLimitExceeded
from google.api_core.exceptions import InvalidArgument
from google.genai.errors import ClientError
from redis import Redis

from circuit_in_redis import OPEN_MS, CircuitInRedis, fail, new_breaker, succeed
from driven_async_breaker import DrivenAsyncBreaker
from guarded_calls import BadRequestError, ServiceDownError
from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, circuit_breaker
from sharedbreaker.google_errors import outcome_of

ONE_PLACE: dict[str, Any] = {
    "success_threshold": 1,
    "half_open_max_calls": 1,
    "probe_timeout": 3600,
    "lease_timeout": 3600,
}
"""And a lease that no test outlives."""


class OwnBaseError(BaseException):
    """As gevent's timeouts and greenlets' exits are."""


def call(breaker: CircuitBreaker, error: BaseException) -> None:
    def work() -> None:
        raise error

    breaker.call(work)


def decorated(breaker: CircuitBreaker, error: BaseException) -> None:
    @circuit_breaker(breaker)
    def work() -> None:
        raise error

    work()


def block(breaker: CircuitBreaker, error: BaseException) -> None:
    with breaker:
        raise error


def stream(breaker: CircuitBreaker, error: BaseException) -> None:
    if isinstance(breaker, DrivenAsyncBreaker):
        raise asyncio.run(end_of_stream(breaker._twin, error))

    def pieces() -> Iterator[int]:
        yield 1
        raise error

    for _ in breaker.call(pieces):
        pass


async def end_of_stream(breaker: AsyncCircuitBreaker, error: BaseException) -> BaseException:
    """What comes out of a stream that ends with ``error``; raised here it could end the loop."""

    async def pieces() -> AsyncIterator[int]:
        yield 1
        raise error

    try:
        async for _ in breaker.call(pieces):
            pass
    except BaseException as ended_by:
        return ended_by
    raise AssertionError("the stream did not end with the error")


EACH_WAY = pytest.mark.parametrize("make_call", [call, decorated, block, stream])
Way = Callable[[CircuitBreaker, BaseException], None]


def raises_unchanged(make_call: Way, breaker: CircuitBreaker, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        make_call(breaker, error)
    assert caught.value is error


@EACH_WAY
@EITHER_VIEW
def test_sb003_place_of_a_probe_that_is_ignored_is_free_at_once(
    redis: Redis, make_call: Way, max_staleness: float
) -> None:
    """An error that does not count comes out unchanged, and the next call is the probe that closes."""
    breaker, circuit = open_and_over(redis, max_staleness=max_staleness, **ONE_PLACE)

    raises_unchanged(make_call, breaker, BadRequestError("400"))
    assert (circuit.field("state"), circuit.leases()) == ("half_open", {})
    succeed(breaker)

    assert circuit.field("state") == "closed"
    assert circuit.numbers("ignored_calls", "successful_calls") == {
        "ignored_calls": 1,
        "successful_calls": 1,
    }


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("wrong model"),
        ClientError(400, {"error": {"message": "m", "status": "INVALID_ARGUMENT"}}),
    ],
    ids=["google-generativeai", "google-genai"],
)
def test_sb003_mistake_that_google_ai_reports_does_not_keep_the_place(redis: Redis, error: Exception) -> None:
    """What either of Google's SDKs raises for a caller's mistake leaves the place to the next call."""
    open_and_over(redis, **ONE_PLACE)
    breaker = new_breaker(redis, expected_exception=outcome_of, **ONE_PLACE)

    raises_unchanged(call, breaker, error)
    succeed(breaker)

    assert CircuitInRedis(redis).field("state") == "closed"


@EACH_WAY
@pytest.mark.parametrize(
    "error_type", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError, OwnBaseError]
)
def test_sb005_whoever_leaves_in_the_middle_of_a_probe_decides_nothing(
    redis: Redis, make_call: Way, error_type: type[BaseException]
) -> None:
    """What is no Exception comes out unchanged, frees the place, and is neither success nor failure."""
    breaker, circuit = open_and_over(redis, expected_exception=Exception, **ONE_PLACE)
    before = circuit.tallies()

    raises_unchanged(make_call, breaker, error_type())
    assert circuit.field("state") == "half_open"
    succeed(breaker)

    assert circuit.field("state") == "closed"
    assert circuit.tallies() == {**before, "released_calls": 1, "successful_calls": 1}


@EACH_WAY
@EITHER_VIEW
@pytest.mark.parametrize("error_type", [KeyboardInterrupt, SystemExit, OwnBaseError])
def test_sb005_whoever_leaves_a_closed_circuit_changes_nothing(
    redis: Redis, make_call: Way, error_type: type[BaseException], max_staleness: float
) -> None:
    """One failure short of the threshold a Ctrl-C opens nothing, and does not end the row either."""
    breaker = new_breaker(
        redis, failure_threshold=2, expected_exception=Exception, max_staleness=max_staleness
    )
    circuit = CircuitInRedis(redis)
    fail(breaker)

    for _ in range(3):
        raises_unchanged(make_call, breaker, error_type())

    assert breaker.get_metrics()["state"] == "closed"
    assert breaker.get_metrics()["current_failure_count"] == 1
    assert breaker.get_metrics()["successful_calls"] == 0
    fail(breaker)
    assert circuit.field("state") == "open"


@EACH_WAY
def test_sb005_soft_time_limit_of_celery_gives_the_place_back(redis: Redis, make_call: Way) -> None:
    """Celery's SoftTimeLimitExceeded, an Exception, comes out unchanged and is a failure if those count."""
    breaker, circuit = open_and_over(redis, expected_exception=Exception, **ONE_PLACE)

    raises_unchanged(make_call, breaker, SoftTimeLimitExceeded())

    assert (circuit.field("state"), circuit.leases()) == ("open", {})
    pass_time(circuit, OPEN_MS)
    ignoring = new_breaker(redis, expected_exception=ServiceDownError, **ONE_PLACE)
    raises_unchanged(make_call, ignoring, SoftTimeLimitExceeded())
    succeed(ignoring)
    assert circuit.field("state") == "closed"
