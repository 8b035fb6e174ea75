"""Manual control: every act in every state, seen by everybody, until somebody lets go."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

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
from sharedbreaker import CircuitBreaker, Outcome, SettingsError

FIRST: dict[str, Callable[[CircuitBreaker, Redis], object]] = {
    "never called": lambda breaker, redis: None,
    "closed": lambda breaker, redis: fail(breaker, 2),
    "open": trip,
    "half_open": lambda breaker, redis: (trip_and_wait(breaker, redis), breaker.admit()),
    "held open": lambda breaker, redis: breaker.force_open(),
    "held open for a time": lambda breaker, redis: breaker.force_open(seconds=100),
    "disabled": lambda breaker, redis: breaker.disable(),
}
ACTS: dict[str, Callable[[CircuitBreaker], None]] = {
    "force_open": CircuitBreaker.force_open,
    "force_close": CircuitBreaker.force_close,
    "disable": CircuitBreaker.disable,
    "enable": CircuitBreaker.enable,
}
# What was there first, the act, then the state and mode after it and the transition that it makes.
TABLE = [
    ("never called", "force_open", "open", "held_open", "closed_to_open"),
    ("never called", "force_close", "closed", "automatic", None),
    ("never called", "disable", "closed", "disabled", None),
    ("never called", "enable", "closed", "automatic", None),
    ("closed", "force_open", "open", "held_open", "closed_to_open"),
    ("closed", "force_close", "closed", "automatic", None),
    ("closed", "disable", "closed", "disabled", None),
    ("closed", "enable", "closed", "automatic", None),
    ("open", "force_open", "open", "held_open", None),
    ("open", "force_close", "closed", "automatic", "open_to_closed"),
    ("open", "disable", "closed", "disabled", "open_to_closed"),
    ("open", "enable", "open", "automatic", None),
    ("half_open", "force_open", "open", "held_open", "half_open_to_open"),
    ("half_open", "force_close", "closed", "automatic", "half_open_to_closed"),
    ("half_open", "disable", "closed", "disabled", "half_open_to_closed"),
    ("half_open", "enable", "half_open", "automatic", None),
    ("held open", "force_open", "open", "held_open", None),
    ("held open", "force_close", "closed", "automatic", "open_to_closed"),
    ("held open", "disable", "closed", "disabled", "open_to_closed"),
    ("held open", "enable", "open", "held_open", None),
    ("held open for a time", "force_open", "open", "held_open", None),
    ("held open for a time", "force_close", "closed", "automatic", "open_to_closed"),
    ("held open for a time", "disable", "closed", "disabled", "open_to_closed"),
    ("held open for a time", "enable", "open", "held_open", None),
    ("disabled", "force_open", "open", "held_open", "closed_to_open"),
    ("disabled", "force_close", "closed", "automatic", None),
    ("disabled", "disable", "closed", "disabled", None),
    ("disabled", "enable", "closed", "automatic", None),
]


@pytest.mark.parametrize(("first", "act", "state", "mode", "transition"), TABLE)
def test_act_leads_where_the_table_says(
    redis: Redis, first: str, act: str, state: str, mode: str, transition: str | None
) -> None:
    """Each act leads to one state and mode, is one event, and is tallied where the state changed."""
    breaker = new_breaker(redis)
    FIRST[first](breaker, redis)
    breaker.snapshot()
    circuit = CircuitInRedis(redis)
    tallied = circuit.transitions() if redis.exists(circuit.key) else {}
    events = len(circuit.events())

    ACTS[act](breaker)

    metrics = breaker.get_metrics()
    assert (metrics["state"], metrics["mode"]) == (state, mode)
    expected = dict(tallied)
    if transition is not None:
        expected[transition] = expected.get(transition, 0) + 1
    assert {name: count for name, count in metrics["state_transitions"].items() if count} == expected
    new_events = [event for event in circuit.events()[events:] if event["why"] != "declared"]
    assert len(new_events) == 1
    assert new_events[0]["why"] == act
    assert new_events[0]["to"] == state


@pytest.mark.parametrize("act", list(ACTS))
@pytest.mark.parametrize("first", list(FIRST))
def test_every_act_is_seen_by_every_worker_at_its_next_call(redis: Redis, first: str, act: str) -> None:
    """Another breaker of the same name obeys an act at its very next call."""
    breaker, other = new_breaker(redis), new_breaker(redis)
    FIRST[first](breaker, redis)
    ACTS[act](breaker)

    if breaker.get_state()["state"] == "open":
        be_rejected(other)
    else:
        succeed(other)


def test_force_close_clears_the_counts_that_decide(redis: Redis) -> None:
    """After force_close both counts are 0 and the full threshold is needed again."""
    breaker = new_breaker(redis)
    fail(breaker, 2)

    breaker.force_close()

    assert breaker.get_state()["failure_count"] == 0
    fail(breaker, 2)
    assert breaker.get_state()["state"] == "closed"


def test_force_close_from_half_open_clears_the_success_count(redis: Redis) -> None:
    """Successes of a recovery that somebody cut short do not count in the next one."""
    breaker = new_breaker(redis)
    trip_and_wait(breaker, redis)
    succeed(breaker)

    breaker.force_close()
    trip_and_wait(breaker, redis)
    succeed(breaker)

    assert breaker.get_state()["state"] == "half_open"


def test_force_close_hands_control_back(redis: Redis) -> None:
    """After force_close failures open the circuit again, as ever."""
    breaker = new_breaker(redis)
    breaker.force_open()
    breaker.force_close()

    fail(breaker, 3)

    assert breaker.get_metrics()["state"] == "open"
    assert breaker.get_metrics()["mode"] == "automatic"


def test_hold_does_not_end_with_the_open_period(redis: Redis) -> None:
    """A hold without seconds lasts however often the timeout passes."""
    breaker = new_breaker(redis)
    breaker.force_open()
    circuit = CircuitInRedis(redis)

    for _ in range(3):
        circuit.elapse(OPEN_MS * 10)
        be_rejected(breaker)

    assert breaker.get_metrics()["mode"] == "held_open"


def test_hold_on_a_circuit_that_is_open_already_does_not_end_with_its_period(redis: Redis) -> None:
    """Holding a circuit that had tripped keeps it open beyond the open period of the trip."""
    breaker = new_breaker(redis)
    circuit = trip(breaker, redis)
    breaker.force_open()

    circuit.elapse(OPEN_MS * 10)

    be_rejected(breaker)


@pytest.mark.parametrize("seconds", [0.5, 5, timedelta(seconds=5), 3600], ids=str)
def test_hold_for_some_seconds_ends_by_itself(redis: Redis, seconds: float | timedelta) -> None:
    """A hold of so many seconds rejects until they are over; then a probe is let through."""
    total = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    breaker = new_breaker(redis)
    breaker.force_open(seconds=seconds)
    circuit = CircuitInRedis(redis)
    assert circuit.number("open_until") - circuit.number("opened_at") == total * 1000
    be_rejected(breaker)
    circuit.elapse(round(total * 1000))

    assert breaker.admit().is_probe
    assert breaker.get_metrics()["mode"] == "automatic"
    assert breaker.get_metrics()["state"] == "half_open"


def test_hold_longer_than_the_timeout_is_not_cut_short(redis: Redis) -> None:
    """A hold of an hour lasts an hour with a timeout of a minute."""
    breaker = new_breaker(redis, timeout=60)
    breaker.force_open(seconds=3600)

    CircuitInRedis(redis).elapse(3_500_000)

    be_rejected(breaker)


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("first", ["held open", "held open for a time", "disabled"])
def test_outcomes_never_end_a_hold(redis: Redis, first: str, outcome: Outcome) -> None:
    """Reports of calls from before a manual act, of any kind and number, leave mode and state alone."""
    breaker = new_breaker(redis)
    admissions = [breaker.admit() for _ in range(5)]
    FIRST[first](breaker, redis)
    before = breaker.get_metrics()

    for admission in admissions:
        breaker.report(admission, outcome)

    after = breaker.get_metrics()
    assert (after["state"], after["mode"]) == (before["state"], before["mode"])
    assert after["state_transitions"] == before["state_transitions"]


def test_probe_under_way_does_not_end_a_hold(redis: Redis) -> None:
    """A probe that succeeds after force_open closes nothing."""
    breaker = new_breaker(redis, success_threshold=1)
    trip_and_wait(breaker, redis)
    probe = breaker.admit()
    breaker.force_open()

    breaker.report(probe, Outcome.SUCCESS)

    assert breaker.get_metrics()["mode"] == "held_open"
    be_rejected(breaker)


def test_disabled_circuit_tallies_and_never_opens(redis: Redis) -> None:
    """While disabled every call runs and is tallied, and no number of failures opens the circuit."""
    breaker = new_breaker(redis)
    breaker.disable()

    fail(breaker, 10)
    succeed(breaker, 2)
    be_ignored(breaker)

    metrics = breaker.get_metrics()
    assert (metrics["failed_calls"], metrics["successful_calls"], metrics["ignored_calls"]) == (10, 2, 1)
    assert (metrics["state"], metrics["rejected_calls"]) == ("closed", 0)


def test_enabled_circuit_opens_again(redis: Redis) -> None:
    """After enable failures open the circuit as before."""
    breaker = new_breaker(redis)
    breaker.disable()
    succeed(breaker)
    breaker.enable()

    fail(breaker, 3)

    assert breaker.get_state()["state"] == "open"


def test_failures_while_disabled_do_not_count_after_enable(redis: Redis) -> None:
    """The failures that were let through while disabled do not open the circuit once it is enabled."""
    breaker = new_breaker(redis)
    breaker.disable()
    fail(breaker, 10)
    breaker.enable()

    fail(breaker, 2)

    assert breaker.get_state()["state"] == "closed"


def test_last_act_wins(redis: Redis) -> None:
    """Of several acts the last one is in force."""
    breaker = new_breaker(redis)

    breaker.force_open(seconds=1)
    breaker.force_open()
    CircuitInRedis(redis).elapse(5_000)
    be_rejected(breaker)
    breaker.disable()
    succeed(breaker)
    breaker.force_open(seconds=1)
    CircuitInRedis(redis).elapse(1_000)

    assert breaker.admit().is_probe


def test_enable_does_not_end_a_hold(redis: Redis) -> None:
    """``enable`` ends ``disable`` and nothing else."""
    breaker = new_breaker(redis)
    breaker.force_open()

    breaker.enable()

    be_rejected(breaker)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True, "60"])
def test_nonsense_seconds_are_refused(redis: Redis, seconds: float) -> None:
    """force_open with seconds that make no sense is a SettingsError and holds nothing."""
    breaker = new_breaker(redis)

    with pytest.raises(SettingsError, match="seconds"):
        breaker.force_open(seconds=seconds)

    succeed(breaker)
