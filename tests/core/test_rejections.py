"""Rejections: what the refused caller is told, and that the number of seconds is true."""

from __future__ import annotations

import contextlib
import gc
import weakref

import pytest
from redis import Redis

from circuit_in_redis import (
    LEASE_MS,
    OPEN_MS,
    PROBE_MS,
    ServiceDownError,
    be_rejected,
    fail,
    new_breaker,
    trip,
    trip_and_wait,
)
from sharedbreaker import CircuitBreakerError, CircuitState


def test_open_circuit_says_that_it_is_open(redis: Redis) -> None:
    """A rejection by an open circuit names the circuit, the state and the reason."""
    breaker = new_breaker(redis)
    trip(breaker, redis)

    error = be_rejected(breaker)

    assert (error.name, error.state, error.why) == ("orders", CircuitState.OPEN, "open")


def test_retry_after_is_what_is_left_of_the_open_period(redis: Redis) -> None:
    """retry_after is the time until open_until, in seconds."""
    breaker = new_breaker(redis)
    circuit = trip(breaker, redis)
    circuit.elapse(OPEN_MS - 20_000)

    error = be_rejected(breaker)

    left = (circuit.number("open_until") - circuit.now_ms()) / 1000
    assert error.retry_after is not None
    assert left <= error.retry_after <= 20


def test_retry_after_of_a_fresh_trip_is_within_the_timeout(redis: Redis) -> None:
    """retry_after is above 0 and never more than the timeout."""
    breaker = new_breaker(redis, timeout=30)
    trip(breaker, redis)

    error = be_rejected(breaker)

    assert error.retry_after is not None
    assert 0 < error.retry_after <= 30


def test_retry_after_of_busy_probes_is_bounded_by_the_probes_lease(redis: Redis) -> None:
    """When all places are taken, a place is free after the first probe's lease at the latest."""
    breaker = new_breaker(redis, half_open_max_calls=1)
    trip_and_wait(breaker, redis)
    breaker.admit()

    error = be_rejected(breaker)

    assert error.retry_after is not None
    assert 0 <= error.retry_after <= PROBE_MS / 1000


def test_hold_without_an_end_has_no_retry_after(redis: Redis) -> None:
    """A circuit held open until somebody lets go cannot say when to come back."""
    breaker = new_breaker(redis)
    breaker.force_open()

    error = be_rejected(breaker)

    assert (error.state, error.why, error.retry_after) == (CircuitState.OPEN, "held_open", None)


def test_hold_for_some_seconds_says_how_long_it_lasts(redis: Redis) -> None:
    """A circuit held open for a time says how much of it is left, whatever the timeout is."""
    breaker = new_breaker(redis, timeout=1)
    breaker.force_open(seconds=300)

    error = be_rejected(breaker)

    assert error.why == "held_open"
    assert error.retry_after is not None
    assert 200 < error.retry_after <= 300


def test_rejection_is_counted_once(redis: Redis) -> None:
    """One rejected call adds one to rejected_calls and nothing to any other tally."""
    breaker = new_breaker(redis)
    circuit = trip(breaker, redis)
    before = circuit.tallies()

    be_rejected(breaker)

    assert circuit.tallies() == {**before, "rejected_calls": 1}


def test_rejected_call_leaves_no_lease(redis: Redis) -> None:
    """A call that was not let through is not on the books."""
    breaker = new_breaker(redis)
    circuit = trip(breaker, redis)

    be_rejected(breaker)

    assert circuit.leases() == {}


def test_tripping_call_gets_its_own_error(redis: Redis) -> None:
    """The call whose failure opens the circuit, and the failing probe, raise the service's error."""
    breaker = new_breaker(redis, failure_threshold=1)
    circuit = trip_and_wait(breaker, redis)

    fail(breaker)

    assert circuit.moves() == ["closed_to_open", "open_to_half_open", "half_open_to_open"]


def test_rejection_is_not_chained_to_an_old_error(redis: Redis) -> None:
    """A rejection has no cause and no context: it is not the fault of an earlier caller."""
    breaker = new_breaker(redis)
    trip(breaker, redis)

    error = be_rejected(breaker)

    assert error.__cause__ is None
    assert error.__context__ is None


def test_breaker_keeps_no_reference_to_the_failures(redis: Redis) -> None:
    """The exceptions that tripped a circuit can be collected: they may hold a user's request."""
    breaker = new_breaker(redis, failure_threshold=1)
    gone: list[weakref.ref[ServiceDownError]] = []

    def down() -> None:
        error = ServiceDownError("prompt")
        gone.append(weakref.ref(error))
        raise error

    with contextlib.suppress(ServiceDownError):
        breaker.call(down)
    with pytest.raises(CircuitBreakerError):
        breaker.call(down)
    gc.collect()

    assert [reference() for reference in gone] == [None]


def test_lease_of_a_call_from_closed_does_not_shape_retry_after(redis: Redis) -> None:
    """retry_after of busy probes looks at probes' leases, not at those of calls from closed."""
    breaker = new_breaker(redis, half_open_max_calls=1)
    slow = breaker.admit()
    circuit = trip_and_wait(breaker, redis)
    breaker.admit()
    redis.zadd(circuit.leases_key, {slow.token: circuit.now_ms() + LEASE_MS * 100})

    error = be_rejected(breaker)

    assert error.retry_after is not None
    assert error.retry_after <= PROBE_MS / 1000
