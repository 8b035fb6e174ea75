"""What counts as a failure, and for how long: SB-016, SB-019, SB-020 and SB-021."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import grpc
import pytest
import requests
import tenacity
from case_views import EITHER_VIEW, age_views, open_and_over
from google.api_core.exceptions import GoogleAPIError, ServiceUnavailable
from google.genai.errors import APIError
from redis import Redis
from redis.exceptions import RedisError

from circuit_in_redis import (
    LEASE_MS,
    OPEN_MS,
    CircuitInRedis,
    ServiceDownError,
    be_rejected,
    fail,
    new_breaker,
    succeed,
)
from sharedbreaker import CircuitBreakerError, FailureRate, LastCalls, SettingsError

RETRIED = (
    OSError,  # ConnectionError and TimeoutError are of its kind
    ConnectionError,
    TimeoutError,
    asyncio.TimeoutError,
    RedisError,
    ServiceUnavailable,
    GoogleAPIError,
    APIError,
    grpc.RpcError,
    aiohttp.ClientError,
    requests.RequestException,
)
"""What people have tenacity, or a loop of their own, try again."""
NINETEEN_SECONDS_MS = 19_000


def four_times() -> tenacity.Retrying:
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((*RETRIED, ServiceDownError)),
        stop=tenacity.stop_after_attempt(4),
        wait=tenacity.wait_none(),
        reraise=True,
    )


def test_sb016_rejection_is_no_error_that_is_tried_again(redis: Redis) -> None:
    """CircuitBreakerError is of no class that stands for a passing trouble, and says when to come back."""
    breaker = new_breaker(redis)
    breaker.force_open(seconds=30)

    rejection = be_rejected(breaker)

    assert not isinstance(rejection, RETRIED)
    assert not issubclass(CircuitBreakerError, RETRIED)
    assert rejection.retry_after is not None
    assert 0 < rejection.retry_after <= 30


@EITHER_VIEW
def test_sb016_retries_around_the_breaker_end_with_the_rejection(redis: Redis, max_staleness: float) -> None:
    """Of four tries two reach the service; the third is rejected, once, and that comes out."""
    breaker = new_breaker(redis, failure_threshold=2, max_staleness=max_staleness)
    reached: list[int] = []

    def service() -> None:
        reached.append(1)
        raise ServiceDownError("503")

    with pytest.raises(CircuitBreakerError):
        four_times()(breaker.call, service)
    assert len(reached) == 2
    with pytest.raises(CircuitBreakerError):
        four_times()(breaker.call, service)

    assert len(reached) == 2
    wait_until_told(breaker)
    assert breaker.get_metrics()["rejected_calls"] == 2


@EITHER_VIEW
def test_sb016_retries_inside_a_call_are_one_outcome(redis: Redis, max_staleness: float) -> None:
    """A guarded function that tries four times is one failure, or one success where the last try is one."""
    breaker = new_breaker(redis, max_staleness=max_staleness)
    ends = iter([*[ServiceDownError("503")] * 4, *[ServiceDownError("503")] * 3, None])

    def service() -> None:
        end = next(ends)
        if end is not None:
            raise end

    with pytest.raises(ServiceDownError):
        breaker.call(four_times(), service)
    circuit = CircuitInRedis(redis)
    assert circuit.numbers("failure_count", "failed_calls") == {"failure_count": 1, "failed_calls": 1}
    breaker.call(four_times(), service)

    wait_until_told(breaker)
    assert circuit.numbers("failed_calls", "successful_calls") == {"failed_calls": 1, "successful_calls": 1}


def test_sb016_retries_inside_a_probe_keep_its_place(redis: Redis) -> None:
    """However often a probe tries, it has one place, and its last try decides."""
    breaker, circuit = open_and_over(redis, success_threshold=1, half_open_max_calls=1)
    places: list[int] = []

    def service() -> None:
        places.append(len(circuit.leases()))
        if len(places) < 4:
            raise ServiceDownError("503")

    breaker.call(four_times(), service)

    assert places == [1] * 4
    assert circuit.field("state") == "closed"


@EITHER_VIEW
def test_sb019_success_ends_a_row_of_failures(redis: Redis, max_staleness: float) -> None:
    """Five times one failure and twenty successes, with a threshold of five, leaves it closed."""
    breaker = new_breaker(redis, failure_threshold=5, max_staleness=max_staleness)

    for _ in range(5):
        fail(breaker)
        assert breaker.get_metrics()["current_failure_count"] == 1
        succeed(breaker, 20)
        age_views()

    succeed(breaker)
    wait_until_told(breaker)
    assert breaker.get_metrics()["state"] == "closed"
    assert breaker.get_metrics()["current_failure_count"] == 0


@EITHER_VIEW
def test_sb019_success_of_another_process_ends_a_row_as_well(redis: Redis, max_staleness: float) -> None:
    """One process fails now and then and another succeeds: the row is the fleet's."""
    failing, succeeding = (
        new_breaker(redis, failure_threshold=5, max_staleness=max_staleness) for _ in range(2)
    )

    for _ in range(5):
        fail(failing)
        succeed(succeeding, 20)
        wait_until_told(succeeding)
        assert CircuitInRedis(redis).number("failure_count") == 0

    assert failing.get_metrics()["state"] == "closed"
    fail(failing, 5)
    be_rejected(failing)


@EITHER_VIEW
def test_sb020_failures_that_are_older_than_a_window_do_not_count(redis: Redis, max_staleness: float) -> None:
    """By a rule over a time four old failures and a new one are one; five within the time open."""
    rate = FailureRate(threshold=1, window=1800, minimum_calls=5)
    breaker = new_breaker(redis, failure_threshold=None, failure_rate=rate, max_staleness=max_staleness)
    circuit = CircuitInRedis(redis)
    fail(breaker, 4)
    let_windows_pass(circuit)

    fail(breaker)
    assert circuit.field("state") == "closed"
    fail(breaker, 4)

    assert circuit.field("state") == "open"


def test_sb020_row_of_failures_of_an_idle_circuit_is_forgotten_with_it(redis: Redis) -> None:
    """By the default rule failures in a row count however old they are, unless `idle_ttl` is over."""
    breaker = new_breaker(redis, failure_threshold=5, idle_ttl=LEASE_MS / 1000)
    circuit = CircuitInRedis(redis)
    fail(breaker, 4)
    assert 0 < redis.pttl(circuit.key) <= LEASE_MS
    redis.pexpire(circuit.key, 1)
    time.sleep(0.01)

    fail(breaker)

    assert (circuit.field("state"), circuit.number("failure_count")) == ("closed", 1)


@EITHER_VIEW
def test_sb021_failures_that_lie_far_apart_open_by_the_default_rule(
    redis: Redis, max_staleness: float
) -> None:
    """Five calls in a row that fail after nineteen seconds each open the circuit, however slow they are."""
    breaker = new_breaker(redis, failure_threshold=5, max_staleness=max_staleness)
    circuit = CircuitInRedis(redis)

    for _ in range(4):
        fail(breaker)
        circuit.elapse(NINETEEN_SECONDS_MS)
        age_views()
    assert circuit.field("state") == "closed"
    fail(breaker)

    assert circuit.field("state") == "open"
    assert circuit.number("lost_calls") == 0


def test_sb021_rule_over_the_last_calls_has_no_time_to_run_out(redis: Redis) -> None:
    """A rate over the last so many calls opens as well, however far they lie apart."""
    rate = FailureRate(threshold=1, window=LastCalls(5), minimum_calls=5)
    breaker = new_breaker(redis, failure_threshold=None, failure_rate=rate)
    circuit = CircuitInRedis(redis)

    for _ in range(4):
        fail(breaker)
        circuit.elapse(OPEN_MS)
    fail(breaker)

    assert circuit.field("state") == "open"


@pytest.mark.sync_only("settings are the same for both")
def test_sb021_idle_time_shorter_than_a_call_is_refused() -> None:
    """A circuit that would be forgotten while one call runs is a SettingsError."""
    with pytest.raises(SettingsError, match="idle_ttl"):
        new_breaker(None, idle_ttl=19, lease_timeout=60)


def let_windows_pass(circuit: CircuitInRedis) -> None:
    """Let twice the time of every window pass: each slice of one has a number, which says when it was."""
    for field, value in circuit.fields().items():
        if field.startswith("failure_rate:"):
            number, *counts = value.split(" ")
            circuit.redis.hset(circuit.key, field, " ".join([str(int(number) - 20), *counts]))


def wait_until_told(breaker: Any) -> None:
    deadline = time.monotonic() + 20
    while breaker.get_metrics()["unwritten_calls"]:
        assert time.monotonic() < deadline
        time.sleep(0.002)
