"""Acting on a view: how old it may be, what it decides, and what it never decides."""

from __future__ import annotations

from held_call import HeldCall
from redis import Redis
from stale_circuits import (
    hold,
    load_scripts,
    number_of_scripts,
    stale_breaker,
    unwritten,
    wait_until,
)

from circuit_in_redis import (
    CircuitInRedis,
    ServiceDownError,
    be_ignored,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    trip,
)
from sharedbreaker import CircuitBreaker, CircuitState, Outcome


def test_calls_on_a_view_ask_nobody(redis: Redis) -> None:
    """A thousand successes on one view cost no script."""
    breaker = stale_breaker(redis)
    hold(breaker, 1)
    redis.config_resetstat()
    succeed(breaker, 1000)
    assert number_of_scripts(redis) == 0


def test_rejections_on_a_view_ask_nobody(redis: Redis) -> None:
    """A thousand rejections on one view cost no script."""
    breaker = stale_breaker(redis)
    trip(breaker, redis)
    be_rejected(breaker)
    redis.config_resetstat()
    be_rejected(breaker, 1000)
    assert number_of_scripts(redis) == 0


def test_a_failure_is_written_at_once_in_one_script(redis: Redis) -> None:
    """When a failed call returns, its failure is in Redis, with all that was held back before it."""
    breaker = stale_breaker(redis)
    load_scripts(redis)
    hold(breaker, 4)
    be_ignored(breaker, 2)
    redis.config_resetstat()
    fail(breaker)
    assert number_of_scripts(redis) == 1
    numbers = CircuitInRedis(redis).numbers(
        "successful_calls", "failed_calls", "ignored_calls", "failure_count", "late_results"
    )
    assert numbers == {
        "successful_calls": 5,
        "failed_calls": 1,
        "ignored_calls": 2,
        "failure_count": 1,
        "late_results": 0,
    }


def test_a_failure_is_told_with_its_cause(redis: Redis) -> None:
    """What failed last, and in which process, is written as without a staleness."""
    breaker = stale_breaker(redis)
    fail(breaker)
    fields = CircuitInRedis(redis).fields()
    assert fields["last_failure_type"] == "ServiceDownError"
    assert fields["last_failure_by"]
    assert fields["last_failure_time"]


def test_failures_on_views_open_the_circuit_for_all(redis: Redis) -> None:
    """Failures of two processes on their views add up, and the last one opens the circuit at once."""
    first, second = stale_breaker(redis), stale_breaker(redis)
    fail(first)
    fail(second, 2)
    circuit = CircuitInRedis(redis)
    assert circuit.field("state") == "open"
    assert be_rejected(second).state is CircuitState.OPEN


def test_a_success_before_a_failure_ends_the_row(redis: Redis) -> None:
    """Successes that are held back stand before the failure that takes them along: the row begins anew."""
    breaker = stale_breaker(redis)
    fail(breaker, 2)
    succeed(breaker)
    fail(breaker, 2)
    circuit = CircuitInRedis(redis)
    assert circuit.field("state") == "closed"
    assert circuit.number("failure_count") == 2


def test_each_answer_renews_the_view(redis: Redis) -> None:
    """A failure's answer is as good as a question: what happened elsewhere is known from then on."""
    breaker = stale_breaker(redis)
    hold(breaker, 1)
    new_breaker(redis).force_open("elsewhere")
    succeed(breaker)
    fail(breaker)
    assert be_rejected(breaker).why == "held_open"


def test_what_a_report_brings_about_is_known_at_once(redis: Redis) -> None:
    """A process that is told that its own report opened the circuit acts on no older view."""
    breaker, other = stale_breaker(redis, failure_threshold=1), new_breaker(redis, failure_threshold=1)
    other.force_open("maintenance")
    be_rejected(breaker)
    other.force_close("done")
    breaker._store.doubt_view()
    # Admitted by Redis and not on a view, since the last that was known is an open circuit.
    admission = breaker.admit()
    assert admission.view is None
    breaker.report(admission, Outcome.FAILURE, ServiceDownError("503"))
    assert CircuitInRedis(redis).field("state") == "open"
    assert be_rejected(breaker).state is CircuitState.OPEN


def test_looking_renews_the_view(redis: Redis) -> None:
    """Who was shown that the circuit is open is let through by it no more."""
    breaker = stale_breaker(redis)
    hold(breaker, 1)
    new_breaker(redis).force_open("elsewhere")
    assert breaker.get_metrics()["state"] == "open"
    be_rejected(breaker)


def test_ones_own_acts_are_known_at_once(redis: Redis) -> None:
    """The process that takes a circuit in hand acts on no view from before."""
    breaker = stale_breaker(redis)
    hold(breaker, 1)
    breaker.force_open("maintenance")
    assert be_rejected(breaker).why == "held_open"
    breaker.force_close("done")
    succeed(breaker)
    breaker.disable("maintenance")
    fail(breaker, 9)
    breaker.enable("done")
    fail(breaker, 3)
    be_rejected(breaker)


def test_probes_are_never_admitted_from_a_view(redis: Redis) -> None:
    """In half-open each admission is a script, and each probe has a lease in Redis."""
    breaker = stale_breaker(redis, half_open_max_calls=2, success_threshold=3)
    circuit = trip(breaker, redis)
    circuit.elapse(circuit.number("open_timeout_ms"))
    first = HeldCall(_after_its_view(breaker))
    assert first.is_inside
    assert len(circuit.leases()) == 1
    load_scripts(redis)
    redis.config_resetstat()
    second = HeldCall(breaker)
    assert second.is_inside
    assert number_of_scripts(redis) == 1
    assert len(circuit.leases()) == 2
    for _ in range(5):
        assert be_rejected(breaker).why == "probes_busy"
    assert number_of_scripts(redis) == 6
    first.end()
    second.end()
    assert circuit.field("state") == "half_open"
    succeed(breaker)
    assert circuit.field("state") == "closed"


def _after_its_view(breaker: CircuitBreaker) -> CircuitBreaker:
    """Let time pass that was moved in Redis, for what the process keeps of it."""
    breaker._store.doubt_view()
    return breaker


def test_views_of_circuits_are_not_mixed(redis: Redis) -> None:
    """Each circuit has its own view and its own tallies, in one process over one client."""
    orders, payments = stale_breaker(redis, name="orders"), stale_breaker(redis, name="payments")
    hold(orders, 3)
    hold(payments, 5)
    payments.force_open("maintenance")
    succeed(orders)
    be_rejected(payments)
    fail(orders)
    assert CircuitInRedis(redis, "orders").numbers("successful_calls", "failed_calls") == {
        "successful_calls": 5,
        "failed_calls": 1,
    }
    wait_until(lambda: unwritten(payments) <= 1, "what was held back of a circuit that changed is told")
    assert CircuitInRedis(redis, "payments").numbers("successful_calls", "failed_calls") == {
        "successful_calls": 6,
        "failed_calls": 0,
    }


def test_two_breakers_of_one_circuit_keep_their_own_tallies(redis: Redis) -> None:
    """Two breakers of one name in one process add up exactly."""
    first, second = stale_breaker(redis), stale_breaker(redis)
    hold(first, 3)
    hold(second, 4)
    fail(first)
    fail(second)
    assert CircuitInRedis(redis).number("successful_calls") == 9


def test_strict_and_stale_processes_share_a_circuit(redis: Redis) -> None:
    """One process may be strict and another one not: tallies and states are the same circuit's."""
    strict, stale = new_breaker(redis), stale_breaker(redis)
    hold(stale, 2)
    succeed(strict, 3)
    fail(strict)
    fail(stale, 2)
    assert CircuitInRedis(redis).numbers("successful_calls", "failed_calls", "late_results") == {
        "successful_calls": 6,
        "failed_calls": 3,
        "late_results": 0,
    }
    assert CircuitInRedis(redis).number("failure_count") == 2


def test_a_refusal_on_a_view_tells_when_to_come_back(redis: Redis) -> None:
    """A refusal that asked nobody says the same as one that did: state, reason and the time left."""
    breaker = stale_breaker(redis)
    trip(breaker, redis)
    first, second = be_rejected(breaker), be_rejected(breaker)
    assert first.retry_after is not None
    assert second.retry_after is not None
    assert 0 < second.retry_after <= first.retry_after <= 60
    assert (second.name, second.state, second.why) == ("orders", CircuitState.OPEN, "open")


def test_without_a_staleness_nothing_is_held_back(redis: Redis) -> None:
    """By default every success is in Redis when its call returns."""
    breaker = new_breaker(redis)
    for times in range(1, 4):
        succeed(breaker)
        assert CircuitInRedis(redis).number("successful_calls") == times
    new_breaker(redis).force_open("elsewhere")
    be_rejected(breaker)
    assert unwritten(breaker) == 0
