"""Recovery: from open to half-open at the first call after the timeout, and from there closed or open."""

from __future__ import annotations

from redis import Redis

from circuit_in_redis import (
    OPEN_MS,
    CircuitInRedis,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    trip_and_wait,
)


def test_first_call_after_open_until_is_the_first_probe(redis: Redis) -> None:
    """The first call at or after open_until moves the circuit to half-open and runs."""
    breaker = new_breaker(redis)
    circuit = trip_and_wait(breaker, redis)

    admission = breaker.admit()

    assert admission.is_probe
    assert breaker.get_state()["state"] == "half_open"
    assert circuit.transitions() == {"closed_to_open": 1, "open_to_half_open": 1}


def test_open_circuit_whose_time_is_over_says_open(redis: Redis) -> None:
    """A circuit whose open_until has passed, and which nobody has called, is open and says so."""
    breaker = new_breaker(redis)
    circuit = trip_and_wait(breaker, redis)
    before = circuit.fields()

    assert breaker.get_state()["state"] == "open"
    assert breaker.get_metrics()["is_failing"] is True
    assert circuit.fields() == before


def test_successes_below_the_success_threshold_leave_it_half_open(redis: Redis) -> None:
    """A probe's success below success_threshold is counted and closes nothing."""
    breaker = new_breaker(redis, success_threshold=3)
    trip_and_wait(breaker, redis)

    succeed(breaker, 2)

    assert breaker.get_state()["state"] == "half_open"
    assert breaker.get_state()["success_count"] == 2


def test_successes_at_the_success_threshold_close_it(redis: Redis) -> None:
    """The success that reaches success_threshold closes the circuit, and both counts are 0."""
    breaker = new_breaker(redis, success_threshold=3)
    circuit = trip_and_wait(breaker, redis)

    succeed(breaker, 3)

    state = breaker.get_state()
    assert (state["state"], state["failure_count"], state["success_count"]) == ("closed", 0, 0)
    assert circuit.moves() == ["closed_to_open", "open_to_half_open", "half_open_to_closed"]


def test_success_threshold_of_one_closes_at_the_first_probe(redis: Redis) -> None:
    """With success_threshold 1 one probe's success closes the circuit."""
    breaker = new_breaker(redis, success_threshold=1)
    trip_and_wait(breaker, redis)

    succeed(breaker)

    assert breaker.get_state()["state"] == "closed"


def test_recovered_circuit_needs_the_full_threshold_again(redis: Redis) -> None:
    """After recovery the circuit opens only at failure_threshold new failures."""
    breaker = new_breaker(redis)
    trip_and_wait(breaker, redis)
    succeed(breaker, 2)

    fail(breaker, 2)
    assert breaker.get_state()["state"] == "closed"
    fail(breaker)

    assert breaker.get_state()["state"] == "open"


def test_one_probes_failure_opens_it_again(redis: Redis) -> None:
    """One failing probe opens the circuit whatever failure_threshold is, tallied once."""
    breaker = new_breaker(redis, failure_threshold=5)
    circuit = trip_and_wait(breaker, redis)

    fail(breaker)

    assert breaker.get_state()["state"] == "open"
    assert circuit.transitions() == {"closed_to_open": 1, "open_to_half_open": 1, "half_open_to_open": 1}


def test_failed_probe_starts_a_full_new_open_period(redis: Redis) -> None:
    """After a probe's failure calls are rejected for a whole timeout from that moment on."""
    breaker = new_breaker(redis)
    circuit = trip_and_wait(breaker, redis)
    before_ms = circuit.now_ms()

    fail(breaker)

    assert circuit.number("opened_at") >= before_ms
    assert circuit.number("open_until") == circuit.number("opened_at") + OPEN_MS
    circuit.elapse(OPEN_MS // 2)
    be_rejected(breaker)
    circuit.elapse(OPEN_MS // 2)
    succeed(breaker)


def test_success_count_starts_anew_in_each_half_open_period(redis: Redis) -> None:
    """Successes of a recovery that failed do not count in the next one."""
    breaker = new_breaker(redis, success_threshold=3)
    circuit = trip_and_wait(breaker, redis)
    succeed(breaker, 2)
    fail(breaker)
    circuit.elapse(OPEN_MS)

    succeed(breaker, 2)

    assert breaker.get_state()["state"] == "half_open"
    assert breaker.get_state()["success_count"] == 2


def test_circuit_can_open_and_recover_again_and_again(redis: Redis) -> None:
    """Each outage gives one round of transitions, tallied exactly."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)

    for _ in range(4):
        trip_and_wait(breaker, redis)
        succeed(breaker, 2)

    assert circuit.transitions() == {"closed_to_open": 4, "open_to_half_open": 4, "half_open_to_closed": 4}
