"""Time that passes at once, wherever the circuit is."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from either_breaker import NAME, MakeBreaker, admit, call, metrics, refusal_of, state
from either_breaker import in_process as in_process
from either_breaker import in_redis as in_redis
from either_breaker import kind as kind
from either_breaker import make as make
from redis import Redis

from circuit_in_redis import CircuitInRedis
from guarded_calls import ServiceDownError
from sharedbreaker import FailureRate, Operator, SettingsError
from sharedbreaker.testing import elapse, end_open_period, held_open, trip

DOWN = ServiceDownError("503")


def test_an_opening_ends_when_its_time_has_passed(make: MakeBreaker) -> None:
    """Just before, calls are rejected and told of the rest; just after, the next is a probe."""
    breaker = make()
    trip(breaker)
    elapse(breaker, 500)
    retry_after = refusal_of(breaker).retry_after
    assert retry_after is not None
    assert 50 < retry_after <= 100
    elapse(breaker, timedelta(seconds=100))
    assert admit(breaker).is_probe
    assert state(breaker) == "half_open"


def test_time_stands_still_in_process(in_process: MakeBreaker) -> None:
    """However long a test takes, nothing is over that it did not end."""
    breaker = in_process(timeout=0.001)
    trip(breaker)
    time.sleep(0.01)
    assert refusal_of(breaker).retry_after == 0.001
    elapse(breaker, 0.001)
    assert call(breaker) == "done"


def test_end_open_period(make: MakeBreaker) -> None:
    """The next call is the first probe, and the circuit recovers by its own rules."""
    breaker = make()
    trip(breaker)
    end_open_period(breaker)
    assert state(breaker) == "open"  # until somebody calls
    assert [call(breaker), state(breaker)] == ["done", "half_open"]
    assert [call(breaker), state(breaker)] == ["done", "closed"]


def test_end_open_period_of_a_hold(make: MakeBreaker) -> None:
    """A hold with an end is over as well."""
    breaker = make()
    with held_open(breaker, 600):
        end_open_period(breaker)
        assert admit(breaker).is_probe


def test_end_open_period_twice_is_once(make: MakeBreaker) -> None:
    """What is over needs no more time."""
    breaker = make()
    trip(breaker)
    end_open_period(breaker)
    opened_at = metrics(breaker)["opened_at"]
    end_open_period(breaker)
    assert metrics(breaker)["opened_at"] == pytest.approx(opened_at, abs=5)


def test_end_open_period_needs_one(make: MakeBreaker) -> None:
    """A circuit that is closed, or held open for ever, has no open period to end."""
    breaker = make()
    with pytest.raises(ValueError, match="'orders' is closed: it has no open period"):
        end_open_period(breaker)
    with held_open(breaker), pytest.raises(ValueError, match="'orders' is held open without an end"):
        end_open_period(breaker)


def test_leases_run_out(make: MakeBreaker) -> None:
    """A call without a report is lost when its lease has passed, and not before."""
    breaker = make()
    admit(breaker)
    elapse(breaker, 350)
    assert call(breaker) == "done"
    assert (metrics(breaker)["calls_in_flight"], metrics(breaker)["lost_calls"]) == (1, 0)
    elapse(breaker, 50)
    assert call(breaker) == "done"
    assert (metrics(breaker)["calls_in_flight"], metrics(breaker)["lost_calls"]) == (0, 1)


def test_a_probe_without_a_report_gives_its_place_back(make: MakeBreaker) -> None:
    """A worker that dies in mid-probe delays recovery by the probe's lease."""
    breaker = make(half_open_max_calls=1)
    trip(breaker)
    end_open_period(breaker)
    assert admit(breaker).is_probe
    assert call(breaker) == "probes_busy"
    elapse(breaker, 200)
    assert call(breaker) == "done"


def test_what_was_known_without_asking_is_doubted(make: MakeBreaker) -> None:
    """A breaker with a staleness sees at once that time has passed."""
    breaker = make(max_staleness=600)
    trip(breaker, DOWN)
    assert call(breaker) == "open"
    end_open_period(breaker)
    assert call(breaker) == "done"


def test_time_does_not_run_backwards(make: MakeBreaker) -> None:
    """A time below zero is refused, with the name of what is wrong."""
    with pytest.raises(SettingsError, match="seconds"):
        elapse(make(), -1)


@pytest.mark.parametrize(("seconds", "became"), [(500, "open"), (600, "done")])
def test_failures_leave_the_window(make: MakeBreaker, seconds: float, became: str) -> None:
    """What failed a window ago is in no rate any more."""
    breaker = make(failure_threshold=None, failure_rate=FailureRate(1, 600, minimum_calls=4))
    assert [call(breaker, DOWN) for _ in range(3)] == ["failed"] * 3
    elapse(breaker, seconds)
    assert [call(breaker, DOWN), call(breaker)] == ["failed", became]


def test_a_ramp_is_over(make: MakeBreaker) -> None:
    """While the circuit comes back by degrees some calls are turned away, and none afterwards."""
    breaker = make(ramp_up=100, success_threshold=1)
    trip(breaker)
    end_open_period(breaker)
    assert call(breaker) == "done"
    assert "ramping_up" in [call(breaker) for _ in range(5)]
    elapse(breaker, 100)
    assert [call(breaker) for _ in range(5)] == ["done"] * 5


def test_everything_that_is_a_moment_moves_in_redis(redis: Redis, in_redis: MakeBreaker) -> None:
    """All stored moments, leases included, move by exactly what was asked, and nothing else changes."""
    breaker = in_redis(
        failure_rate=FailureRate(1, 70),
        minimum_reporters=2,
        success_threshold=1,
        half_open_max_calls=2,
        ramp_up=90,
    )
    circuit = CircuitInRedis(redis)
    call(breaker, DOWN)
    with held_open(breaker, 60):
        end_open_period(breaker)
        admit(breaker)
        assert call(breaker) == "done"
        call(breaker, DOWN)
        Operator(NAME, redis=redis).tune({"failure_threshold": 4}, reason="quieter")
        call(breaker)
        circuit.set(held_at=circuit.now_ms(), opened_at=circuit.now_ms(), open_until=circuit.now_ms() + 5)
        before, leases = circuit.fields(), circuit.leases()
        elapse(breaker, 7)
        after = circuit.fields()
    windows = {field for field in before.keys() | after.keys() if field.startswith("failure_rate:")}
    moved = {field for field in before if before[field] != after.get(field)} - windows
    assert moved == {
        "started_at", "last_state_change", "last_failure_time", "failing_since", "ramp_until",
        "opened_at", "open_until", "held_at", "tuned_at", "reclaim_at", "failure_reporters",
    }  # fmt: skip
    assert {
        int(after[field].rpartition("=")[2]) - int(before[field].rpartition("=")[2]) for field in moved
    } == {-7000}
    assert circuit.leases() == {token: ends - 7000 for token, ends in leases.items()}
    assert slices(after) == {(number - 1, *rest) for number, *rest in slices(before)} != set()


def moment(value: str) -> int:
    """A moment as it is, or the latest of a reporter."""
    return int(value.rpartition("=")[2])


def slices(fields: dict[str, str]) -> set[tuple[int, ...]]:
    """The slices of the window, each where it belongs."""
    rings = [(field, value) for field, value in fields.items() if field.startswith("failure_rate:")]
    found = {tuple(map(int, value.split())) for _, value in rings}
    assert {f"failure_rate:{number % 10}" for number, *_ in found} == {field for field, _ in rings}
    return found


def test_an_idle_circuit_is_forgotten_in_redis(redis: Redis, in_redis: MakeBreaker) -> None:
    """Its time to live passes as well."""
    breaker = in_redis(idle_ttl=1000)
    call(breaker)
    circuit = CircuitInRedis(redis)
    elapse(breaker, 900)
    assert redis.exists(circuit.key)
    elapse(breaker, 100)
    assert not redis.exists(circuit.key)
