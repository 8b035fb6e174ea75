"""The pair underneath ``call``: admit and report, for code that cannot be wrapped."""

from __future__ import annotations

import pytest
from redis import Redis

from circuit_in_redis import CircuitInRedis, ServiceDownError, be_rejected, new_breaker, trip, trip_and_wait
from sharedbreaker import CircuitBreakerError, Outcome


@pytest.mark.parametrize(
    ("outcome", "tally"),
    [
        (Outcome.SUCCESS, "successful_calls"),
        (Outcome.FAILURE, "failed_calls"),
        (Outcome.IGNORED, "ignored_calls"),
        (Outcome.RELEASED, "released_calls"),
    ],
)
def test_report_is_tallied_as_its_outcome(redis: Redis, outcome: Outcome, tally: str) -> None:
    """Each outcome adds one to its own tally and to no other."""
    breaker = new_breaker(redis)

    breaker.report(breaker.admit(), outcome)

    tallies = CircuitInRedis(redis).tallies()
    assert {name: count for name, count in tallies.items() if count} == {tally: 1}


def test_admit_raises_where_call_would(redis: Redis) -> None:
    """``admit`` raises CircuitBreakerError while the circuit is open."""
    breaker = new_breaker(redis)
    trip(breaker, redis)

    with pytest.raises(CircuitBreakerError):
        breaker.admit()


def test_failures_reported_by_hand_open_it(redis: Redis) -> None:
    """Reported failures open the circuit at the threshold, and the error's type is on the books."""
    breaker = new_breaker(redis)

    for _ in range(3):
        breaker.report(breaker.admit(), Outcome.FAILURE, ServiceDownError("503"))

    be_rejected(breaker)
    assert CircuitInRedis(redis).field("last_failure_type") == "ServiceDownError"


def test_probes_reported_by_hand_close_it(redis: Redis) -> None:
    """Admissions that are probes say so, and their successes close the circuit."""
    breaker = new_breaker(redis)
    circuit = trip_and_wait(breaker, redis)

    probes = [breaker.admit(), breaker.admit()]
    for probe in probes:
        assert probe.is_probe
        breaker.report(probe, Outcome.SUCCESS)

    assert circuit.field("state") == "closed"
    assert not breaker.admit().is_probe


def test_admission_may_be_reported_by_another_breaker_object(redis: Redis) -> None:
    """A report counts whichever object of the same name sends it."""
    admission = new_breaker(redis).admit()

    new_breaker(redis).report(admission, Outcome.SUCCESS)

    circuit = CircuitInRedis(redis)
    assert circuit.number("successful_calls") == 1
    assert circuit.leases() == {}


def test_admission_of_another_circuit_counts_nothing_here(redis: Redis) -> None:
    """A report with an admission of another circuit changes nothing that decides and no tally."""
    breaker, other = new_breaker(redis), new_breaker(redis, name="other")
    breaker.report(breaker.admit(), Outcome.SUCCESS)
    before = CircuitInRedis(redis).fields()

    breaker.report(other.admit(), Outcome.FAILURE)

    assert CircuitInRedis(redis).fields() == before


def test_report_is_never_an_error_of_the_caller(redis: Redis) -> None:
    """Reporting an admission twice raises nothing."""
    breaker = new_breaker(redis)
    admission = breaker.admit()

    breaker.report(admission, Outcome.SUCCESS)
    breaker.report(admission, Outcome.SUCCESS)

    assert breaker.get_metrics()["successful_calls"] == 1
