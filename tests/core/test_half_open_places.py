"""Half-open: so many probes at once in the whole fleet, and each gives its place back."""

from __future__ import annotations

import pytest
from held_call import HeldCall
from redis import Redis

from circuit_in_redis import (
    OPEN_MS,
    BadRequestError,
    ServiceDownError,
    be_ignored,
    be_rejected,
    new_breaker,
    succeed,
    trip_and_wait,
)
from sharedbreaker import CircuitBreakerError, CircuitState


@pytest.mark.parametrize("places", [1, 2, 5])
def test_no_more_probes_than_half_open_max_calls_run_at_once(redis: Redis, places: int) -> None:
    """With as many probes inside as there are places, every further call is rejected."""
    breaker = new_breaker(redis, success_threshold=9, half_open_max_calls=places)
    trip_and_wait(breaker, redis)

    held = [HeldCall(breaker) for _ in range(places + 3)]

    assert [call.is_inside for call in held] == [True] * places + [False] * 3
    for call in held:
        call.end()


def test_places_default_to_the_success_threshold(redis: Redis) -> None:
    """Without half_open_max_calls there are as many places as success_threshold."""
    breaker = new_breaker(redis, success_threshold=4)
    trip_and_wait(breaker, redis)

    held = [HeldCall(breaker) for _ in range(6)]

    assert sum(call.is_inside for call in held) == 4
    for call in held:
        call.end()


def test_call_without_a_place_is_told_that_the_probes_are_busy(redis: Redis) -> None:
    """A call for which there is no place is rejected in state half-open, for the reason probes_busy."""
    breaker = new_breaker(redis, half_open_max_calls=1)
    trip_and_wait(breaker, redis)
    probe = HeldCall(breaker)

    refused = HeldCall(breaker)

    assert isinstance(refused.raised, CircuitBreakerError)
    assert (refused.raised.state, refused.raised.why) == (CircuitState.HALF_OPEN, "probes_busy")
    probe.end()


def test_calls_without_a_place_are_tallied_as_rejected(redis: Redis) -> None:
    """Every call for which there is no place adds one to rejected_calls and to nothing else."""
    breaker = new_breaker(redis, half_open_max_calls=1)
    circuit = trip_and_wait(breaker, redis)
    breaker.admit()
    before = circuit.fields()

    for _ in range(3):
        be_rejected(breaker)

    assert circuit.fields() == {**before, "rejected_calls": "3"}


def test_success_gives_the_place_back(redis: Redis) -> None:
    """The place of a probe that succeeded is free for the next call."""
    breaker = new_breaker(redis, success_threshold=3, half_open_max_calls=1)
    trip_and_wait(breaker, redis)
    HeldCall(breaker).end()

    again = HeldCall(breaker)

    assert again.is_inside
    again.end()


@pytest.mark.parametrize(
    "error",
    [BadRequestError("400"), KeyboardInterrupt(), SystemExit(1)],
    ids=["ignored", "KeyboardInterrupt", "SystemExit"],
)
def test_probe_without_a_verdict_gives_the_place_back(redis: Redis, error: BaseException) -> None:
    """A probe that is ignored or released frees its place at once and decides nothing."""
    breaker = new_breaker(redis, half_open_max_calls=1)
    circuit = trip_and_wait(breaker, redis)
    probe = HeldCall(breaker)

    probe.end(error)

    assert probe.raised is error
    assert circuit.field("state") == "half_open"
    assert circuit.field("success_count") == "0"
    assert circuit.leases() == {}
    succeed(breaker, 2)
    assert circuit.field("state") == "closed"


def test_ignored_probes_alone_never_close_it(redis: Redis) -> None:
    """However many probes are ignored, the circuit stays half-open."""
    breaker = new_breaker(redis, half_open_max_calls=1)
    trip_and_wait(breaker, redis)

    be_ignored(breaker, 5)

    assert breaker.get_state()["state"] == "half_open"


def test_failing_probe_opens_it_while_another_is_inside(redis: Redis) -> None:
    """One failure opens the circuit although another probe is still under way."""
    breaker = new_breaker(redis, half_open_max_calls=2)
    circuit = trip_and_wait(breaker, redis)
    first, second = HeldCall(breaker), HeldCall(breaker)

    first.end(ServiceDownError("503"))

    assert circuit.field("state") == "open"
    be_rejected(breaker)
    second.end()
    assert circuit.field("state") == "open"


def test_probes_still_inside_count_in_the_next_half_open_period(redis: Redis) -> None:
    """A probe of an earlier half-open period that is still running is in flight, and takes a place."""
    breaker = new_breaker(redis, success_threshold=9, half_open_max_calls=2)
    circuit = trip_and_wait(breaker, redis)
    old, failing = HeldCall(breaker), HeldCall(breaker)
    failing.end(ServiceDownError("503"))
    circuit.end_open_period()

    held = [HeldCall(breaker) for _ in range(3)]

    assert sum(call.is_inside for call in [old, *held]) == 2
    for call in [old, *held]:
        call.end()


def test_calls_from_closed_take_no_probes_place(redis: Redis) -> None:
    """Calls that were admitted in closed and still run leave all places to probes."""
    breaker = new_breaker(redis, half_open_max_calls=1, lease_timeout=600)
    slow = [HeldCall(breaker) for _ in range(3)]
    trip_and_wait(breaker, redis)

    probe = HeldCall(breaker)

    assert probe.is_inside
    for call in [*slow, probe]:
        call.end()


def test_failed_probe_frees_its_place_for_the_next_period(redis: Redis) -> None:
    """After a failing probe the next period has all its places."""
    breaker = new_breaker(redis, half_open_max_calls=1)
    circuit = trip_and_wait(breaker, redis)
    HeldCall(breaker).end(ServiceDownError("503"))
    circuit.elapse(OPEN_MS)

    probe = HeldCall(breaker)

    assert probe.is_inside
    probe.end()


def test_probes_in_flight_are_told_in_the_metrics(redis: Redis) -> None:
    """The snapshot tells how many calls and probes are in flight across the fleet."""
    breaker = new_breaker(redis, lease_timeout=600)
    slow = HeldCall(breaker)
    trip_and_wait(breaker, redis)
    probe = HeldCall(breaker)

    snapshot = breaker.snapshot()

    assert (snapshot.calls_in_flight, snapshot.probes_in_flight) == (2, 1)
    slow.end()
    probe.end()
