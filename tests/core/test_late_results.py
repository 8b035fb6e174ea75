"""Late results: a report from an older epoch is tallied and decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from held_call import HeldCall
from redis import Redis

from circuit_in_redis import (
    OPEN_MS,
    PROBE_MS,
    TALLIES,
    CircuitInRedis,
    ServiceDownError,
    fail,
    new_breaker,
    succeed,
    trip,
)
from sharedbreaker import Admission, CircuitBreaker, Outcome

RESULTS = [
    (Outcome.SUCCESS, "successful_calls"),
    (Outcome.FAILURE, "failed_calls"),
    (Outcome.IGNORED, "ignored_calls"),
]
LATER_STATES = ["open", "half_open", "half_open_with_a_probe", "next_closed", "next_closed_after_failures"]


@dataclass
class Story:
    """A circuit whose call `late` was admitted in an era that is over."""

    breaker: CircuitBreaker
    circuit: CircuitInRedis
    late: Admission


def admitted_before_the_trip(redis: Redis, until: str) -> Story:
    """A call admitted in closed that is still running when the circuit has come to `until`."""
    breaker = new_breaker(redis)
    late = breaker.admit()
    circuit = trip(breaker, redis)
    if until != "open":
        circuit.end_open_period()
        breaker.report(breaker.admit(), Outcome.IGNORED)
    if until == "half_open_with_a_probe":
        breaker.admit()
    if until.startswith("next_closed"):
        succeed(breaker, 2)
    if until == "next_closed_after_failures":
        fail(breaker, 2)
    assert until.removeprefix("next_").startswith(circuit.fields()["state"])
    return Story(breaker, circuit, late)


@pytest.mark.parametrize("until", LATER_STATES)
@pytest.mark.parametrize(("outcome", "tally"), RESULTS)
def test_result_from_before_the_trip_changes_nothing_that_decides(
    redis: Redis, until: str, outcome: Outcome, tally: str
) -> None:
    """Whatever a call from an older epoch brings, state, counts, epoch and moments stay as they are."""
    story = admitted_before_the_trip(redis, until)
    before = story.circuit.state_and_counts()
    moves = story.circuit.moves()

    story.breaker.report(story.late, outcome)

    assert story.circuit.state_and_counts() == before
    assert story.circuit.moves() == moves


@pytest.mark.parametrize("until", LATER_STATES)
@pytest.mark.parametrize(("outcome", "tally"), RESULTS)
def test_result_from_before_the_trip_is_tallied_as_what_it_was_and_as_late(
    redis: Redis, until: str, outcome: Outcome, tally: str
) -> None:
    """A late result adds one to its own tally and one to late_results."""
    story = admitted_before_the_trip(redis, until)
    before = story.circuit.tallies()

    story.breaker.report(story.late, outcome)

    after = story.circuit.tallies()
    assert {name: after[name] - before[name] for name in TALLIES if after[name] != before[name]} == {
        tally: 1,
        "late_results": 1,
    }


def test_late_results_in_any_number_decide_nothing(redis: Redis) -> None:
    """More late failures than the threshold leave a recovered circuit closed, with none counted."""
    breaker = new_breaker(redis)
    late = [breaker.admit() for _ in range(8)]
    circuit = trip(breaker, redis)
    circuit.end_open_period()
    succeed(breaker, 2)

    for admission in late:
        breaker.report(admission, Outcome.FAILURE)

    assert circuit.field("state") == "closed"
    assert circuit.field("failure_count") == "0"
    assert circuit.number("late_results") == 8


def test_late_success_does_not_reset_the_next_periods_failures(redis: Redis) -> None:
    """A success from before the trip leaves the failures of the new closed period counted."""
    story = admitted_before_the_trip(redis, "next_closed_after_failures")

    story.breaker.report(story.late, Outcome.SUCCESS)

    assert story.circuit.field("failure_count") == "2"
    fail(story.breaker)
    assert story.circuit.field("state") == "open"


def test_late_result_frees_no_probes_place(redis: Redis) -> None:
    """A call from before the trip that ends in half-open does not let one more probe in."""
    breaker = new_breaker(redis, half_open_max_calls=1)
    slow = HeldCall(breaker)
    circuit = trip(breaker, redis)
    circuit.end_open_period()
    probe = HeldCall(breaker)

    slow.end(ServiceDownError("503"))

    assert not HeldCall(breaker).is_inside
    probe.end()


def test_late_callers_get_their_own_results(redis: Redis) -> None:
    """A late call returns its result, or raises its own error, like any other."""
    breaker = new_breaker(redis)
    succeeding, failing = HeldCall(breaker), HeldCall(breaker)
    trip(breaker, redis)
    error = ServiceDownError("503")

    succeeding.end()
    failing.end(error)

    assert succeeding.result == "done"
    assert failing.raised is error


@pytest.mark.parametrize(("outcome", "tally"), RESULTS)
def test_probe_of_an_earlier_half_open_period_decides_nothing(
    redis: Redis, outcome: Outcome, tally: str
) -> None:
    """A probe that outlives its half-open period is tallied late, in the next one too."""
    breaker = new_breaker(redis, success_threshold=1, half_open_max_calls=3)
    circuit = trip(breaker, redis)
    circuit.end_open_period()
    old, failing = breaker.admit(), breaker.admit()
    breaker.report(failing, Outcome.FAILURE)
    circuit.end_open_period()
    breaker.admit()
    before, tallies = circuit.state_and_counts(), circuit.tallies()

    breaker.report(old, outcome)

    assert circuit.state_and_counts() == before
    assert circuit.tallies() == {
        **tallies,
        tally: tallies[tally] + 1,
        "late_results": tallies["late_results"] + 1,
    }


@pytest.mark.parametrize("outcome", list(Outcome))
def test_superseded_probe_neither_decides_nor_frees_the_newer_ones_place(
    redis: Redis, outcome: Outcome
) -> None:
    """A probe whose lease ran out, and whose place a newer one took, changes nothing when it reports."""
    breaker = new_breaker(redis, success_threshold=1, half_open_max_calls=1)
    circuit = trip(breaker, redis)
    circuit.elapse(OPEN_MS)
    lost = breaker.admit()
    circuit.elapse(PROBE_MS)
    newer = HeldCall(breaker)
    assert newer.is_inside
    before = circuit.fields()

    breaker.report(lost, outcome)

    assert circuit.fields() == before
    assert not HeldCall(breaker).is_inside
    newer.end()
    assert circuit.field("state") == "closed"


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.FAILURE])
def test_result_of_a_call_from_before_a_manual_close_is_late(redis: Redis, outcome: Outcome) -> None:
    """A call that was under way when somebody opened and closed the circuit by hand decides nothing."""
    breaker = new_breaker(redis, failure_threshold=1)
    slow = breaker.admit()
    breaker.force_open()
    breaker.force_close()
    circuit = CircuitInRedis(redis)
    before = circuit.state_and_counts()

    breaker.report(slow, outcome)

    assert circuit.state_and_counts() == before
    assert circuit.number("late_results") == 1


def test_released_late_call_is_tallied_as_released_only(redis: Redis) -> None:
    """A call of an older epoch that is given up is tallied as released and moves nothing."""
    story = admitted_before_the_trip(redis, "half_open_with_a_probe")
    before, tallies = story.circuit.state_and_counts(), story.circuit.tallies()

    story.breaker.report(story.late, Outcome.RELEASED)

    after = story.circuit.tallies()
    assert story.circuit.state_and_counts() == before
    assert after["released_calls"] == tallies["released_calls"] + 1
    assert {name: after[name] for name in TALLIES[:4]} == {name: tallies[name] for name in TALLIES[:4]}
