"""Edits by hand: an operator with redis-cli can look, repair and err, and never wedges a circuit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from redis import Redis

from circuit_in_redis import (
    OPEN_MS,
    PROBE_MS,
    CircuitInRedis,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    trip,
    trip_and_wait,
    work,
)
from sharedbreaker import CircuitBreaker, CircuitBreakerError

Edit = Callable[[CircuitInRedis], object]

YEAR_MS = 31_536_000_000
# Each leaves a circuit that was open in a shape that no script writes.
SPOILED: dict[str, Edit] = {
    "state banana": lambda circuit: circuit.set(state="banana"),
    "state empty": lambda circuit: circuit.set(state=""),
    "state in capitals": lambda circuit: circuit.set(state="OPEN"),
    "state missing": lambda circuit: circuit.drop("state"),
    "mode banana": lambda circuit: circuit.set(mode="banana"),
    "mode missing": lambda circuit: circuit.drop("mode"),
    "held but closed": lambda circuit: circuit.set(mode="held_open", state="closed"),
    "disabled but open": lambda circuit: circuit.set(mode="disabled"),
    "open without opened_at": lambda circuit: circuit.drop("opened_at"),
    "open without open_until": lambda circuit: circuit.drop("open_until"),
    "open without moments": lambda circuit: circuit.drop("opened_at", "open_until"),
    "opened_at in a year": lambda circuit: circuit.set(
        opened_at=circuit.now_ms() + YEAR_MS, open_until=circuit.now_ms() + YEAR_MS + OPEN_MS
    ),
    "open_until in a year": lambda circuit: circuit.set(open_until=circuit.now_ms() + YEAR_MS),
    "clock stepped back": lambda circuit: circuit.elapse(-120_000),
    "clock stepped forward": lambda circuit: circuit.elapse(120_000),
    "opened_at abc": lambda circuit: circuit.set(opened_at="abc"),
    "open_until abc": lambda circuit: circuit.set(open_until="abc"),
    "open_until negative": lambda circuit: circuit.set(open_until=-1),
    "open_until beyond all numbers": lambda circuit: circuit.set(open_until="9" * 30),
    "moments nan": lambda circuit: circuit.set(opened_at="nan", open_until="nan"),
    "moments infinite": lambda circuit: circuit.set(opened_at="inf", open_until="inf"),
    "half_open without probes": lambda circuit: circuit.set(state="half_open"),
    "half_open and success_count abc": lambda circuit: circuit.set(state="half_open", success_count="abc"),
    "half_open with a foreign probe": lambda circuit: circuit.set(
        state="half_open", probes="probe:x probe:y"
    ),
    "epoch abc": lambda circuit: circuit.set(epoch="abc"),
    "epoch missing": lambda circuit: circuit.drop("epoch"),
    "epoch negative": lambda circuit: circuit.set(epoch=-7),
    "threshold abc": lambda circuit: circuit.set(failure_threshold="abc"),
    "threshold missing": lambda circuit: circuit.drop("failure_threshold"),
    "open_timeout_ms abc": lambda circuit: circuit.set(open_timeout_ms="abc"),
    "open_timeout_ms missing": lambda circuit: circuit.drop("open_timeout_ms"),
    "all settings missing": lambda circuit: circuit.drop(
        "failure_threshold",
        "success_threshold",
        "half_open_max_calls",
        "open_timeout_ms",
        "probe_timeout_ms",
        "lease_timeout_ms",
        "idle_ttl_ms",
    ),
    "only a tally left": lambda circuit: circuit.keep_only("successful_calls"),
    "closed by hand": lambda circuit: circuit.set(state="closed"),
    "deleted": lambda circuit: circuit.redis.delete(circuit.key),
}


def try_call(breaker: CircuitBreaker) -> bool:
    """Whether a call was let through."""
    try:
        return breaker.call(work) == "done"
    except CircuitBreakerError:
        return False


@pytest.mark.parametrize("edit", list(SPOILED))
def test_circuit_is_never_stuck_longer_than_one_open_period(redis: Redis, edit: str) -> None:
    """Whatever was written, calls pass at once, or one open period after the first that was rejected."""
    breaker = new_breaker(redis)
    circuit = trip(breaker, redis)
    SPOILED[edit](circuit)

    if not try_call(breaker):
        circuit.elapse(OPEN_MS)
        assert try_call(breaker)

    succeed(breaker)
    assert breaker.get_state()["state"] == "closed"


@pytest.mark.parametrize("edit", list(SPOILED))
def test_rejection_after_an_edit_says_a_time_within_the_open_period(redis: Redis, edit: str) -> None:
    """retry_after is never negative and never more than the timeout, whatever moments were written."""
    breaker = new_breaker(redis)
    SPOILED[edit](trip(breaker, redis))

    rejections: list[CircuitBreakerError] = []
    try:
        breaker.call(work)
    except CircuitBreakerError as error:
        rejections.append(error)

    assert all(error.retry_after is not None for error in rejections)
    assert all(0 <= (error.retry_after or 0) <= OPEN_MS / 1000 for error in rejections)


@pytest.mark.parametrize("edit", list(SPOILED))
def test_circuit_can_be_read_after_an_edit(redis: Redis, edit: str) -> None:
    """State, metrics and export never fail on what somebody wrote, before and after a call."""
    breaker = new_breaker(redis)
    SPOILED[edit](trip(breaker, redis))

    for _ in range(2):
        assert breaker.get_state()["state"] in {"closed", "open", "half_open"}
        assert breaker.get_metrics()["name"] == "orders"
        assert 'circuit_breaker_state{name="orders"}' in breaker.export_prometheus_metrics()
        try_call(breaker)


@pytest.mark.parametrize("edit", list(SPOILED))
def test_force_close_always_works(redis: Redis, edit: str) -> None:
    """After any edit force_close leaves a closed circuit that opens at the threshold again."""
    breaker = new_breaker(redis)
    SPOILED[edit](trip(breaker, redis))

    breaker.force_close()

    metrics = breaker.get_metrics()
    assert (metrics["state"], metrics["mode"], metrics["current_failure_count"]) == ("closed", "automatic", 0)
    fail(breaker, 3)
    be_rejected(breaker)


@pytest.mark.parametrize("edit", list(SPOILED))
def test_force_open_always_works(redis: Redis, edit: str) -> None:
    """After any edit force_open holds the circuit open."""
    breaker = new_breaker(redis)
    SPOILED[edit](trip(breaker, redis))

    breaker.force_open()

    assert be_rejected(breaker).why == "held_open"


@pytest.mark.parametrize("edit", list(SPOILED))
def test_call_under_way_ends_as_it_should_after_an_edit(redis: Redis, edit: str) -> None:
    """A failing probe whose circuit was edited meanwhile raises its own error and leaves no lease."""
    breaker = new_breaker(redis)
    circuit = trip_and_wait(breaker, redis)

    def edit_and_fail() -> None:
        SPOILED[edit](circuit)
        raise LookupError("own")

    with pytest.raises(LookupError, match="own"):
        breaker.call(edit_and_fail)

    assert [token for token in circuit.leases() if token.startswith("probe:")] == []


@pytest.mark.parametrize(
    "setting",
    [
        "failure_threshold",
        "success_threshold",
        "half_open_max_calls",
        "open_timeout_ms",
        "probe_timeout_ms",
        "lease_timeout_ms",
    ],
)
def test_setting_of_zero_wedges_nothing(redis: Redis, setting: str) -> None:
    """A setting that somebody set to 0 does not keep a circuit from recovering."""
    breaker = new_breaker(redis)
    circuit = trip_and_wait(breaker, redis)
    circuit.set(**{setting: 0})

    for _ in range(4):
        try_call(breaker)
        circuit.elapse(OPEN_MS)

    assert breaker.get_state()["state"] == "closed"


def test_lease_far_in_the_future_holds_a_place_for_one_lease_only(redis: Redis) -> None:
    """A probe's lease that ends in a year, after a step of the clock, blocks for probe_timeout at most."""
    breaker = new_breaker(redis, half_open_max_calls=1, success_threshold=1)
    circuit = trip_and_wait(breaker, redis)
    probe = breaker.admit()
    redis.zadd(circuit.leases_key, {probe.token: circuit.now_ms() + YEAR_MS})
    be_rejected(breaker)

    circuit.elapse(PROBE_MS)

    succeed(breaker)


def test_state_closed_by_hand_lets_calls_through_at_once(redis: Redis) -> None:
    """HSET state closed ends an open period for every worker at its next call."""
    breaker = new_breaker(redis)
    circuit = trip(breaker, redis)

    circuit.set(state="closed")

    succeed(breaker)
    assert breaker.get_state() == {**breaker.get_state(), "state": "closed", "failure_count": 0}


def test_state_open_by_hand_rejects_for_one_open_period(redis: Redis) -> None:
    """HSET state open rejects calls for one timeout, and then probes are let through."""
    breaker = new_breaker(redis)
    succeed(breaker)
    circuit = CircuitInRedis(redis)
    circuit.set(state="open")

    be_rejected(breaker)
    circuit.elapse(OPEN_MS)

    succeed(breaker, 2)
    assert breaker.get_state()["state"] == "closed"


def test_threshold_changed_by_hand_is_obeyed(redis: Redis) -> None:
    """HSET failure_threshold is in force at the next failure of any worker."""
    breaker = new_breaker(redis)
    succeed(breaker)

    CircuitInRedis(redis).set(failure_threshold=1)
    fail(breaker)

    be_rejected(breaker)


def test_hash_is_plain_text(redis: Redis) -> None:
    """Every field is readable: words, whole numbers, times in Unix milliseconds."""
    breaker = new_breaker(redis)
    circuit = trip(breaker, redis)

    fields = circuit.fields()

    assert fields["state"] == "open"
    words = {"state", "mode", "last_failure_type", "last_failure_by", "probes", "rules"}
    assert all(value.isdigit() or value == "" for name, value in fields.items() if name not in words)
    assert 0 <= circuit.now_ms() - int(fields["opened_at"]) < 60_000


def test_hold_outlasts_an_epoch_that_is_no_number(redis: Redis) -> None:
    """What is mended is what is broken: the circuit stays in the hand that holds it."""
    breaker = new_breaker(redis)
    breaker.force_open("maintenance")
    circuit = CircuitInRedis(redis)
    circuit.set(epoch="abc")

    assert be_rejected(breaker).why == "held_open"
    assert (circuit.field("state"), circuit.field("mode")) == ("open", "held_open")
    assert circuit.number("epoch") > 0


def test_mode_that_contradicts_the_state_is_mended_at_once(redis: Redis) -> None:
    """Nobody holds open what is closed: the next call finds it automatic, and says so in the hash."""
    breaker = new_breaker(redis)
    succeed(breaker)
    circuit = CircuitInRedis(redis)
    circuit.set(mode="held_open")

    succeed(breaker)

    assert (circuit.field("state"), circuit.field("mode")) == ("closed", "automatic")
