"""Leases: every admission is on the books until its report, or until its time is over, exactly once."""

from __future__ import annotations

import pytest
from held_call import HeldCall
from redis import Redis

from circuit_in_redis import (
    LEASE_MS,
    PROBE_MS,
    CircuitInRedis,
    be_ignored,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    trip_and_wait,
)
from sharedbreaker import Outcome


def test_admission_is_a_lease_until_lease_timeout(redis: Redis) -> None:
    """A call in closed is on the books from its admission on, for lease_timeout."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)
    before_ms = circuit.now_ms()

    admission = breaker.admit()

    leases = circuit.leases()
    assert list(leases) == [admission.token]
    assert before_ms + LEASE_MS <= leases[admission.token] <= circuit.now_ms() + LEASE_MS


def test_probes_lease_lasts_for_probe_timeout(redis: Redis) -> None:
    """A probe is on the books for probe_timeout, and is told apart by its token."""
    breaker = new_breaker(redis)
    circuit = trip_and_wait(breaker, redis)
    before_ms = circuit.now_ms()

    admission = breaker.admit()

    assert admission.token.startswith("probe:")
    expiry = circuit.leases()[admission.token]
    assert before_ms + PROBE_MS <= expiry <= circuit.now_ms() + PROBE_MS


@pytest.mark.parametrize("outcome", list(Outcome))
def test_report_ends_the_lease(redis: Redis, outcome: Outcome) -> None:
    """Every kind of report takes the call off the books."""
    breaker = new_breaker(redis)
    admission = breaker.admit()

    breaker.report(admission, outcome)

    assert CircuitInRedis(redis).leases() == {}


def test_lease_that_ran_out_is_lost_exactly_once(redis: Redis) -> None:
    """A call that never reports is tallied as lost once, and then is off the books."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)
    breaker.admit()
    circuit.elapse(LEASE_MS)

    succeed(breaker, 3)

    assert circuit.number("lost_calls") == 1
    assert circuit.leases() == {}


def test_lease_within_its_time_is_not_lost(redis: Redis) -> None:
    """A call whose lease has not run out stays on the books."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)
    admission = breaker.admit()
    circuit.elapse(LEASE_MS // 2)

    succeed(breaker)

    assert list(circuit.leases()) == [admission.token]
    assert circuit.number("lost_calls") == 0


def test_every_lost_lease_is_counted(redis: Redis) -> None:
    """Any number of leases that ran out together is tallied exactly."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)
    for _ in range(250):
        breaker.admit()
    circuit.elapse(LEASE_MS)

    succeed(breaker)

    assert circuit.number("lost_calls") == 250
    assert circuit.leases() == {}


def test_lost_call_has_no_outcome(redis: Redis) -> None:
    """A lost call is in no total, and is no failure."""
    breaker = new_breaker(redis, failure_threshold=1)
    breaker.admit()
    CircuitInRedis(redis).elapse(LEASE_MS)
    succeed(breaker)

    metrics = breaker.get_metrics()

    assert (metrics["total_calls"], metrics["lost_calls"], metrics["state"]) == (1, 1, "closed")


@pytest.mark.parametrize("outcome", list(Outcome))
def test_report_after_its_lease_is_lost_counts_nothing(redis: Redis, outcome: Outcome) -> None:
    """A call that was counted as lost is not counted again when its report comes after all."""
    breaker = new_breaker(redis, failure_threshold=1)
    circuit = CircuitInRedis(redis)
    admission = breaker.admit()
    circuit.elapse(LEASE_MS)
    succeed(breaker)
    before = circuit.fields()

    breaker.report(admission, outcome)

    assert circuit.fields() == before


@pytest.mark.parametrize("outcome", list(Outcome))
def test_lease_that_ran_out_is_either_reported_or_lost(redis: Redis, outcome: Outcome) -> None:
    """A report that comes when its lease has run out and nobody has noticed counts in exactly one tally."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)
    admission = breaker.admit()
    circuit.elapse(LEASE_MS)

    breaker.report(admission, outcome)
    breaker.report(admission, outcome)
    be_ignored(breaker)

    tallies = circuit.tallies()
    tallies["ignored_calls"] -= 1
    assert sum(tallies.values()) == 1
    assert circuit.leases() == {}


def test_report_told_twice_counts_once(redis: Redis) -> None:
    """Sending a report again changes not one field."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)
    admission = breaker.admit()
    breaker.report(admission, Outcome.FAILURE)
    before = circuit.fields()

    breaker.report(admission, Outcome.FAILURE)
    breaker.report(admission, Outcome.SUCCESS)

    assert circuit.fields() == before
    assert (before["failure_count"], before["failed_calls"]) == ("1", "1")


def test_lost_probe_frees_its_place_for_exactly_one(redis: Redis) -> None:
    """A probe that never reports delays recovery by probe_timeout; then one new caller gets its place."""
    breaker = new_breaker(redis, half_open_max_calls=1)
    circuit = trip_and_wait(breaker, redis)
    breaker.admit()
    circuit.elapse(PROBE_MS // 2)
    be_rejected(breaker)
    circuit.elapse(PROBE_MS // 2)

    callers = [HeldCall(breaker) for _ in range(4)]

    assert sum(call.is_inside for call in callers) == 1
    assert circuit.number("lost_calls") == 1
    for call in callers:
        call.end()


def test_circuit_recovers_after_all_probes_are_lost(redis: Redis) -> None:
    """When every probe of a half-open period is lost, new ones close the circuit."""
    breaker = new_breaker(redis)
    circuit = trip_and_wait(breaker, redis)
    breaker.admit()
    breaker.admit()
    be_rejected(breaker)
    circuit.elapse(PROBE_MS)

    succeed(breaker, 2)

    assert circuit.field("state") == "closed"
    assert circuit.number("lost_calls") == 2


def test_lost_probe_is_noticed_whatever_the_state(redis: Redis) -> None:
    """A probe lost while the circuit is open again is tallied once when the circuit is next called."""
    breaker = new_breaker(redis)
    circuit = trip_and_wait(breaker, redis)
    breaker.admit()
    fail(breaker)
    assert circuit.field("state") == "open"
    circuit.elapse(PROBE_MS)

    be_rejected(breaker)
    be_rejected(breaker)

    assert circuit.number("lost_calls") == 1
    assert circuit.leases() == {}


def test_tokens_are_never_used_twice(redis: Redis) -> None:
    """Each admission has a token of its own."""
    breakers = [new_breaker(redis), new_breaker(redis)]

    tokens = [breaker.admit().token for _ in range(50) for breaker in breakers]

    assert len(set(tokens)) == 100


def test_calls_leave_nothing_behind(redis: Redis) -> None:
    """After a thousand calls no lease is left, and the hash has not grown."""
    breaker = new_breaker(redis, failure_threshold=1000)
    succeed(breaker)
    fail(breaker)
    be_ignored(breaker)
    circuit = CircuitInRedis(redis)
    fields = set(circuit.fields())

    for turn in range(1000):
        (succeed, fail, be_ignored)[turn % 3](breaker)

    assert circuit.leases() == {}
    assert set(circuit.fields()) == fields


def test_event_stream_is_capped(redis: Redis) -> None:
    """The history keeps its latest entries only, however long it was."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)
    succeed(breaker)
    pipeline = redis.pipeline(transaction=False)
    for _ in range(20_000):
        pipeline.xadd(circuit.events_key, {"from": "closed", "to": "closed", "why": "filler", "who": "test"})
    pipeline.execute()

    breaker.force_open("the latest")

    events = circuit.events()
    assert len(events) < 10_000
    assert events[-1]["reason"] == "the latest"


def test_only_the_specified_keys_are_there(redis: Redis) -> None:
    """A circuit has its hash, its events, its name in the registry, and leases while calls are in flight."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)
    admission = breaker.admit()

    assert set(redis.scan_iter()) == {
        circuit.key,
        circuit.leases_key,
        circuit.events_key,
        circuit.registry_key,
    }
    breaker.report(admission, Outcome.SUCCESS)
    assert redis.exists(circuit.leases_key) == 0


def test_lease_survives_the_next_open_period(redis: Redis) -> None:
    """A call from closed stays on the books through a trip and a recovery, and is counted when it ends."""
    breaker = new_breaker(redis, lease_timeout=600)
    slow = HeldCall(breaker)
    circuit = trip_and_wait(breaker, redis)
    succeed(breaker, 2)
    assert len(circuit.leases()) == 1

    slow.end()

    assert circuit.leases() == {}
    assert (circuit.number("successful_calls"), circuit.number("late_results")) == (3, 1)
