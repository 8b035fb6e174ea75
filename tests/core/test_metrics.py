"""get_metrics: every figure of the circuit, fleet-wide, as JSON takes it."""

from __future__ import annotations

import json

import pytest
from redis import Redis

from circuit_in_redis import (
    OPEN_MS,
    CircuitInRedis,
    be_ignored,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    trip,
    trip_and_wait,
)

PROMISED = {
    "name",
    "state",
    "uptime_seconds",
    "total_calls",
    "successful_calls",
    "failed_calls",
    "rejected_calls",
    "ignored_calls",
    "success_rate_percent",
    "failure_rate_percent",
    "rejection_rate_percent",
    "current_failure_count",
    "current_success_count",
    "failure_threshold",
    "success_threshold",
    "state_transitions",
    "last_state_change",
    "is_healthy",
    "is_degraded",
    "is_failing",
}
RATES = ("success_rate_percent", "failure_rate_percent", "rejection_rate_percent")


@pytest.mark.parametrize("calls", [0, 3])
def test_every_promised_figure_is_there(redis: Redis, calls: int) -> None:
    """All names of the specification are there, before the first call too."""
    breaker = new_breaker(redis)
    succeed(breaker, calls)

    assert breaker.get_metrics().keys() >= PROMISED


def test_metrics_are_json_as_they_stand(redis: Redis) -> None:
    """json.dumps takes the metrics without help, in every state, and strict JSON comes out."""
    breaker = new_breaker(redis)
    shown = [breaker.get_metrics()]
    trip_and_wait(breaker, redis)
    shown.append(breaker.get_metrics())
    succeed(breaker)
    shown.append(breaker.get_metrics())
    breaker.force_open("reason")
    shown.append(breaker.get_metrics())

    for metrics in shown:
        assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert type(shown[0]["state"]) is str


def test_rates_are_none_while_there_are_no_calls(redis: Redis) -> None:
    """Without calls no rate is known; a released call is no call in that sense."""
    breaker = new_breaker(redis)
    assert [breaker.get_metrics()[rate] for rate in RATES] == [None, None, None]

    def leave() -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        breaker.call(leave)

    assert [breaker.get_metrics()[rate] for rate in RATES] == [None, None, None]


def test_rates_are_percent_with_two_decimals(redis: Redis) -> None:
    """Rates are percentages of all calls, rounded to two decimals."""
    breaker = new_breaker(redis)
    succeed(breaker)
    fail(breaker)
    be_ignored(breaker)

    metrics = breaker.get_metrics()

    assert [metrics[rate] for rate in RATES] == [33.33, 33.33, 0.0]


def test_rejections_are_in_the_total(redis: Redis) -> None:
    """Rejected calls are calls: they lower the success rate and have a rate of their own."""
    breaker = new_breaker(redis, failure_threshold=1)
    succeed(breaker, 2)
    fail(breaker)
    be_rejected(breaker)

    metrics = breaker.get_metrics()

    assert (metrics["total_calls"], *(metrics[rate] for rate in RATES)) == (4, 50.0, 25.0, 25.0)


@pytest.mark.parametrize(
    ("state", "flags"),
    [("closed", (True, False, False)), ("half_open", (False, True, False)), ("open", (False, False, True))],
)
def test_flags_follow_the_state(redis: Redis, state: str, flags: tuple[bool, bool, bool]) -> None:
    """is_healthy is closed, is_degraded half-open, is_failing open, and exactly one of them holds."""
    breaker = new_breaker(redis)
    succeed(breaker)
    if state != "closed":
        circuit = trip(breaker, redis)
    if state == "half_open":
        circuit.elapse(OPEN_MS)
        succeed(breaker)

    metrics = breaker.get_metrics()

    assert metrics["state"] == state
    assert (metrics["is_healthy"], metrics["is_degraded"], metrics["is_failing"]) == flags


def test_counts_that_decide_are_shown(redis: Redis) -> None:
    """The failures in a row and the successes of half-open are shown as they stand."""
    breaker = new_breaker(redis)
    fail(breaker, 2)
    assert breaker.get_metrics()["current_failure_count"] == 2
    fail(breaker)
    CircuitInRedis(redis).elapse(OPEN_MS)
    succeed(breaker)

    assert breaker.get_metrics()["current_success_count"] == 1


def test_uptime_counts_from_the_first_declaration(redis: Redis) -> None:
    """uptime_seconds is the circuit's age by Redis' clock, shared by all workers, and 0 before it began."""
    assert new_breaker(redis).get_metrics()["uptime_seconds"] == 0
    breaker = new_breaker(redis)
    succeed(breaker)
    circuit = CircuitInRedis(redis)
    circuit.set(started_at=circuit.now_ms() - 90_000)

    assert 90 <= new_breaker(redis).get_metrics()["uptime_seconds"] < 150


def test_every_worker_shows_the_same(redis: Redis) -> None:
    """Two breakers of one name show the same figures."""
    one, other = new_breaker(redis), new_breaker(redis)
    succeed(one)
    fail(other)

    first, second = one.get_metrics(), other.get_metrics()

    assert {**first, "uptime_seconds": 0} == {**second, "uptime_seconds": 0}


def test_state_is_the_promised_dictionary(redis: Redis) -> None:
    """get_state has exactly the five promised entries."""
    breaker = new_breaker(redis)
    fail(breaker)

    state = breaker.get_state()

    assert set(state) == {"name", "state", "failure_count", "success_count", "last_failure_time"}
    assert (state["name"], state["state"], state["failure_count"]) == ("orders", "closed", 1)


def test_tallies_survive_the_processes(redis: Redis) -> None:
    """A new breaker of the same name goes on counting where others left off."""
    succeed(new_breaker(redis), 3)

    succeed(new_breaker(redis))

    assert new_breaker(redis).get_metrics()["successful_calls"] == 4
