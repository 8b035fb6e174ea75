"""Rules besides the default one, as a user sets them and as calls meet them."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest
from redis import Redis

from circuit_in_redis import (
    CircuitInRedis,
    be_ignored,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    trip_and_wait,
)
from sharedbreaker import (
    CircuitBreakerError,
    CircuitMode,
    CircuitState,
    FailureRate,
    LastCalls,
    Outcome,
    SettingsError,
    SlowCallRate,
)

HALF_OF_FOUR = FailureRate(0.5, window=60, minimum_calls=4)


@pytest.mark.parametrize("window", [60, LastCalls(10)])
def test_rate_of_failures_opens_for_every_process(redis: Redis, window: Any) -> None:
    """Two breakers count into one window; neither sees enough by itself."""
    rate = FailureRate(0.5, window, minimum_calls=4)
    one, other = (new_breaker(redis, failure_threshold=None, failure_rate=rate) for _ in range(2))

    succeed(one)
    fail(other)
    be_ignored(other, 3)
    succeed(other)
    fail(one)

    assert be_rejected(other).why == "open"
    assert CircuitInRedis(redis).events()[-1]["why"] == "failure_rate"


def test_below_the_minimum_there_is_no_rate(redis: Redis) -> None:
    """Neither 0 nor 100 percent is shown of what was hardly tried."""
    breaker = new_breaker(redis, failure_threshold=None, failure_rate=HALF_OF_FOUR)

    fail(breaker, 3)
    assert breaker.get_metrics()["window_failure_rate_percent"] is None
    succeed(breaker)

    assert breaker.get_metrics()["window_failure_rate_percent"] == 75


def test_without_a_rate_there_is_none_to_show(redis: Redis) -> None:
    """The default rule keeps no window."""
    breaker = new_breaker(redis)
    fail(breaker)

    metrics = breaker.get_metrics()

    assert metrics["window_failure_rate_percent"] is metrics["window_slow_call_rate_percent"] is None


def test_call_is_slow_by_its_own_clock(redis: Redis) -> None:
    """A success that took as long as `duration` is a slow call; how long is the caller's monotonic time."""
    rate = SlowCallRate(5, threshold=1, window=60, minimum_calls=2)
    breaker = new_breaker(redis, slow_call_rate=rate)

    report_after(breaker, 5.0)
    given_up = breaker.admit()
    breaker.report(given_up, Outcome.RELEASED)
    report_after(breaker, 5.0)

    assert be_rejected(breaker).state is CircuitState.OPEN
    assert CircuitInRedis(redis).events()[-1]["why"] == "slow_call_rate"


def report_after(breaker: Any, seconds: float) -> None:
    """A call that took so long."""
    admission = breaker.admit()
    breaker.report(admission._replace(began=admission.began - seconds), Outcome.SUCCESS)


def test_quick_calls_open_nothing(redis: Redis) -> None:
    """Calls that took a millisecond less than `duration` are none of the slow ones."""
    breaker = new_breaker(redis, slow_call_rate=SlowCallRate(3600 / 4, 0.01, 60, 1), lease_timeout=1000)

    for _ in range(3):
        report_after(breaker, 3600 / 4 - 1)

    assert breaker.get_metrics()["window_slow_call_rate_percent"] == 0


def test_hung_service_opens_while_everybody_waits(redis: Redis) -> None:
    """Three calls are under way and none has ended when the fourth is rejected."""
    breaker = new_breaker(redis, slow_call_rate=SlowCallRate(10, 1, 60, minimum_calls=3))
    circuit = CircuitInRedis(redis)
    hanging = [breaker.admit() for _ in range(3)]
    given_up = breaker.admit()
    breaker.report(given_up, Outcome.RELEASED)

    circuit.set(last_state_change=circuit.now_ms() - 20_000)
    circuit.elapse(10_000)

    assert be_rejected(breaker).why == "open"
    assert len(circuit.leases()) == len(hanging)
    assert circuit.moves() == ["closed_to_open"]
    assert breaker.get_metrics()["failed_calls"] == 0


def test_calls_of_one_process_that_hang_are_one_reporter(redis: Redis) -> None:
    """However many calls of a process hang, it takes another process to agree."""
    breaker = new_breaker(redis, slow_call_rate=SlowCallRate(10, 1, 60, minimum_calls=2), minimum_reporters=2)
    circuit = CircuitInRedis(redis)
    for _ in range(3):
        breaker.admit()
    circuit.set(last_state_change=circuit.now_ms() - 20_000)
    circuit.elapse(10_000)

    breaker.report(breaker.admit(), Outcome.RELEASED)
    assert circuit.field("state") == "closed"
    leases = circuit.leases()
    redis.zadd(circuit.leases_key, {"another-process-of-the-fleet": next(iter(leases.values()))})

    assert be_rejected(breaker).why == "open"


def test_openings_grow_while_probes_fail(redis: Redis) -> None:
    """The second opening is twice as long as the first, and says so."""
    breaker = new_breaker(redis, failure_threshold=1, timeout_growth=2, max_timeout=1000)
    circuit = CircuitInRedis(redis)

    fail(breaker)
    first = be_rejected(breaker).retry_after
    circuit.end_open_period()
    fail(breaker)
    second = be_rejected(breaker).retry_after

    assert first is not None
    assert second is not None
    assert 59 < first <= 60
    assert 119 < second <= 120


def test_ramp_rejects_with_the_reason(redis: Redis) -> None:
    """Just after closing most calls are rejected, and are told why and when to come again."""
    breaker = new_breaker(redis, success_threshold=1, ramp_up=3600)
    trip_and_wait(breaker, redis)
    succeed(breaker)
    succeed(breaker)

    refusal = be_rejected(breaker, 8)

    assert refusal.why == "ramping_up"
    assert refusal.state is CircuitState.CLOSED
    assert refusal.retry_after == 1
    assert "growing share" in str(refusal)


def test_fleet_has_no_more_calls_in_flight_than_allowed(redis: Redis) -> None:
    """The limit is for all processes; a call that ends makes room, however it ends."""
    one, other = (new_breaker(redis, max_in_flight=2) for _ in range(2))
    held = [one.admit(), other.admit()]

    refusal = be_rejected(one)
    assert refusal.why == "too_many_in_flight"
    assert refusal.retry_after is None
    one.report(held[0], Outcome.IGNORED)

    succeed(other)


def test_failures_of_one_process_are_named_and_open_nothing(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod with a broken network is seen by its name, and does not cut off the others."""
    breaker = new_breaker(redis, minimum_reporters=2)
    fail(breaker, 5)

    metrics = breaker.get_metrics()

    assert metrics["is_healthy"]
    assert metrics["failure_reporters"] == [metrics["last_failure_by"]]
    monkeypatch.setattr("sharedbreaker.store.process._current.process.who", "other-pod:1")
    fail(new_breaker(redis, minimum_reporters=2))
    assert be_rejected(breaker).state is CircuitState.OPEN


def test_observing_rejects_nothing_and_counts_what_it_would(redis: Redis) -> None:
    """The circuit opens, every call runs, and the metrics say how many would have been rejected."""
    breaker = new_breaker(redis, mode="observe")

    fail(breaker, 3)
    succeed(breaker, 2)
    fail(breaker)

    metrics = breaker.get_metrics()
    assert (metrics["state"], metrics["mode"]) == ("open", "observe")
    assert metrics["observed_rejections"] == 3
    assert (metrics["successful_calls"], metrics["failed_calls"], metrics["rejected_calls"]) == (2, 4, 0)
    assert breaker.snapshot().mode is CircuitMode.OBSERVE


def test_observing_goes_through_a_whole_outage(redis: Redis) -> None:
    """Its probes are the calls that would have been, and close it."""
    breaker = new_breaker(redis, mode="observe", success_threshold=1)
    circuit = CircuitInRedis(redis)
    fail(breaker, 3)
    circuit.end_open_period()

    succeed(breaker)

    assert circuit.moves() == ["closed_to_open", "open_to_half_open", "half_open_to_closed"]


def test_hand_is_obeyed_while_observing(redis: Redis) -> None:
    """Who holds a circuit open means it."""
    breaker = new_breaker(redis, mode="observe")

    breaker.force_open("maintenance")

    assert be_rejected(breaker).why == "held_open"


def test_threads_in_a_ramp_pass_in_their_share(redis: Redis) -> None:
    """However many ask at once, what passes is what the share allows."""
    breaker = new_breaker(redis, success_threshold=1, ramp_up=3600)
    trip_and_wait(breaker, redis)
    succeed(breaker)
    before = CircuitInRedis(redis).number("successful_calls")
    threads = [threading.Thread(target=call_quietly, args=(breaker, 10)) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert CircuitInRedis(redis).number("successful_calls") - before in (8, 9)


def call_quietly(breaker: Any, times: int) -> None:
    for _ in range(times):
        with contextlib.suppress(CircuitBreakerError):
            breaker.call(int)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"failure_threshold": None}, "failure_threshold"),
        ({"failure_rate": 0.5}, "failure_rate must be a FailureRate"),
        ({"slow_call_rate": FailureRate()}, "slow_call_rate must be a SlowCallRate"),
        ({"failure_rate": FailureRate(0)}, "threshold must be from 0.01 to 1"),
        ({"failure_rate": FailureRate(1.5)}, "threshold must be from 0.01 to 1"),
        ({"failure_rate": FailureRate(0.505)}, "whole hundredths"),
        ({"failure_rate": FailureRate(True)}, "threshold must be"),
        ({"failure_rate": FailureRate(0.5, 0)}, "window"),
        ({"failure_rate": FailureRate(0.5, -1)}, "window"),
        ({"failure_rate": FailureRate(0.5, LastCalls(0))}, "window"),
        ({"failure_rate": FailureRate(0.5, LastCalls(1001))}, "from 0 to 1000"),
        ({"failure_rate": FailureRate(0.5, LastCalls(5), 6)}, "never a rate"),
        ({"failure_rate": FailureRate(0.5, 60, 0)}, "failure_rate_minimum_calls"),
        ({"slow_call_rate": SlowCallRate(0)}, "slow_call_duration"),
        ({"slow_call_rate": SlowCallRate(900)}, "shorter than lease_timeout"),
        ({"timeout_growth": 0.9}, "timeout_growth must be from 1 to 10"),
        ({"timeout_growth": float("nan")}, "timeout_growth"),
        ({"ramp_up": -1}, "ramp_up"),
        ({"minimum_reporters": 0}, "minimum_reporters"),
        ({"minimum_reporters": 17}, "from 1 to 16"),
        (
            {"minimum_reporters": 2, "failure_rate": FailureRate(0.5, LastCalls(30))},
            "windows of seconds alone",
        ),
        ({"max_in_flight": -1}, "max_in_flight"),
        ({"max_in_flight": 1.5}, "max_in_flight"),
        ({"mode": "shadow"}, "'enforce' or 'observe'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    """Where they enter, by name, and with what is allowed."""
    with pytest.raises(SettingsError, match=message):
        new_breaker(None, lease_timeout=900, **{"failure_threshold": 5, **settings})
