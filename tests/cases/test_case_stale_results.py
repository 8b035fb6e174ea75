"""Calls that end when the circuit has moved on decide nothing: SB-007, SB-008 and SB-009."""

from __future__ import annotations

from typing import Any

import pytest
from case_views import EITHER_VIEW, age_views, open_and_over, pass_time
from case_worker import stay_inside_a_task
from held_call import HeldCall
from redis import Redis
from worker import stay_inside
from workforce import Worker, wait_until

from circuit_in_redis import (
    PROBE_MS,
    BadRequestError,
    CircuitInRedis,
    ServiceDownError,
    be_rejected,
    fail,
    new_breaker,
    succeed,
)
from sharedbreaker import CircuitBreaker
from sharedbreaker.demo.redis_server import RedisServer

ONE_PLACE: dict[str, Any] = {"success_threshold": 1, "half_open_max_calls": 1}


def superseded(redis: Redis, max_staleness: float) -> tuple[HeldCall, HeldCall, CircuitInRedis]:
    """A probe whose lease is over while it runs on, and another worker's that has taken its place."""
    breaker, circuit = open_and_over(redis, max_staleness=max_staleness, **ONE_PLACE)
    first = HeldCall(breaker)
    pass_time(circuit, PROBE_MS)
    second = HeldCall(new_breaker(redis, max_staleness=max_staleness, **ONE_PLACE))
    assert first.is_inside
    assert second.is_inside
    return first, second, circuit


@pytest.mark.parametrize(
    "error", [None, ServiceDownError("503"), BadRequestError("400"), KeyboardInterrupt()], ids=repr
)
@EITHER_VIEW
def test_sb007_superseded_probe_decides_nothing(
    redis: Redis, max_staleness: float, error: BaseException | None
) -> None:
    """However it ends, it leaves the state, the count and its successor's place alone."""
    first, second, circuit = superseded(redis, max_staleness)
    place = circuit.leases()

    first.end(error)

    assert (first.raised, first.result) == (error, None if error else "done")
    assert (circuit.field("state"), circuit.number("success_count")) == ("half_open", 0)
    assert circuit.leases() == place
    be_rejected(new_breaker(redis, max_staleness=max_staleness, **ONE_PLACE))
    second.end()
    assert circuit.field("state") == "closed"
    assert circuit.numbers("lost_calls", "successful_calls") == {"lost_calls": 1, "successful_calls": 1}


@pytest.mark.parametrize("error", [None, ServiceDownError("503")], ids=["success", "failure"])
@EITHER_VIEW
def test_sb007_superseded_probe_changes_nothing_after_its_successor_has_decided(
    redis: Redis, max_staleness: float, error: Exception | None
) -> None:
    """Its failure does not open what its successor closed, and its success does not close what it opened."""
    first, second, circuit = superseded(redis, max_staleness)
    second.end(None if error else ServiceDownError("503"))
    decided = circuit.state_and_counts()
    assert decided["state"] == ("closed" if error else "open")

    first.end(error)

    assert circuit.state_and_counts() == decided


@pytest.mark.parametrize("when", ["while it is open", "when the time is over", "beside a probe"])
@EITHER_VIEW
def test_sb008_success_of_a_call_from_before_the_opening_closes_nothing(
    redis: Redis, max_staleness: float, when: str
) -> None:
    """A call that began in closed and succeeds after the opening is no proof; its caller has the result."""
    settings: dict[str, Any] = {"max_staleness": max_staleness, "success_threshold": 1}
    slow = HeldCall(new_breaker(redis, **settings))
    breaker = new_breaker(redis, half_open_max_calls=2, **settings)
    fail(breaker, 3)
    circuit = CircuitInRedis(redis)
    if when != "while it is open":
        end_open_period(circuit)
    probe = HeldCall(breaker) if when == "beside a probe" else None
    before = circuit.state_and_counts()

    slow.end()
    wait_until(lambda: circuit.number("late_results") == 1)

    assert slow.result == "done"
    assert circuit.state_and_counts() == before
    assert before["state"] == ("half_open" if probe else "open")
    if when == "while it is open":
        be_rejected(breaker)
    else:
        (probe or HeldCall(breaker)).end()
        assert circuit.moves() == ["closed_to_open", "open_to_half_open", "half_open_to_closed"]


def test_sb008_success_of_another_process_from_before_the_opening_closes_nothing(
    redis_server: RedisServer, redis: Redis, breaker_kind: str
) -> None:
    """The same where the slow call is another process's, and this one opened the circuit meanwhile."""
    slow = Worker(stay_inside_a_task if breaker_kind == "async" else stay_inside, url=redis_server.url)
    slow.hear("inside")
    breaker = new_breaker(redis)
    fail(breaker, 3)

    slow.tell()
    assert slow.answer() == "success"

    be_rejected(breaker)
    circuit = CircuitInRedis(redis)
    assert (circuit.moves(), circuit.number("late_results")) == (["closed_to_open"], 1)


@EITHER_VIEW
def test_sb009_failure_of_a_call_from_an_earlier_closed_time_opens_nothing(
    redis: Redis, max_staleness: float
) -> None:
    """A failure that began before the outage leaves the recovered circuit and its count alone."""
    settings: dict[str, Any] = {"failure_threshold": 1, "max_staleness": max_staleness, **ONE_PLACE}
    slow = HeldCall(new_breaker(redis, **settings))
    breaker, circuit = recovered(redis, **settings)
    before = circuit.state_and_counts()
    error = ServiceDownError("504")

    slow.end(error)

    assert slow.raised is error
    assert before["state"] == "closed"
    assert circuit.state_and_counts() == before
    assert circuit.number("late_results") == 1
    succeed(breaker)


@EITHER_VIEW
def test_sb009_failure_from_before_the_opening_does_not_disturb_a_probe(
    redis: Redis, max_staleness: float
) -> None:
    """While a probe is under way a failure from before the opening neither opens nor takes its place."""
    settings: dict[str, Any] = {"failure_threshold": 3, "max_staleness": max_staleness, **ONE_PLACE}
    slow = HeldCall(new_breaker(redis, **settings))
    breaker = new_breaker(redis, **settings)
    fail(breaker, 3)
    circuit = CircuitInRedis(redis)
    end_open_period(circuit)
    probe = HeldCall(breaker)
    assert circuit.field("state") == "half_open"
    before = circuit.state_and_counts(), {token for token in circuit.leases() if token.startswith("probe")}

    slow.end(ServiceDownError("504"))

    assert (circuit.state_and_counts(), set(circuit.leases())) == before
    probe.end()
    assert circuit.field("state") == "closed"


@EITHER_VIEW
def test_peer_failures_of_an_outage_do_not_outlive_it(redis: Redis, max_staleness: float) -> None:
    """A circuit that has recovered counts from zero: the first failure after it does not open it again."""
    breaker, circuit = recovered(redis, failure_threshold=3, max_staleness=max_staleness, **ONE_PLACE)

    fail(breaker, 2)

    assert (circuit.field("state"), circuit.number("failure_count")) == ("closed", 2)
    fail(breaker)
    assert circuit.field("state") == "open"


def recovered(redis: Redis, **settings: Any) -> tuple[CircuitBreaker, CircuitInRedis]:
    """A circuit that was opened, and closed again by a probe."""
    breaker = new_breaker(redis, **settings)
    fail(breaker, settings["failure_threshold"])
    circuit = CircuitInRedis(redis)
    end_open_period(circuit)
    succeed(breaker)
    assert circuit.moves() == ["closed_to_open", "open_to_half_open", "half_open_to_closed"]
    return breaker, circuit


def end_open_period(circuit: CircuitInRedis) -> None:
    """Let the open period be over, and no call's lease."""
    circuit.end_open_period()
    age_views()
