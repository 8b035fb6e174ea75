"""What is held back on a view, and how it comes into Redis: all of it, once, and in time."""

from __future__ import annotations

import time
from time import monotonic

import pytest
from redis import Redis
from stale_circuits import (
    PATIENCE,
    STALENESS,
    commands_of_breakers,
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
    service_down,
    succeed,
    trip,
)
from sharedbreaker import Outcome


def test_what_is_held_back_is_written_by_a_timer(redis: Redis) -> None:
    """When calls stop, the last successes, rejections and ignored calls are written by themselves."""
    breaker = stale_breaker(redis, STALENESS)
    succeed(breaker, 20)
    be_ignored(breaker, 3)
    circuit = CircuitInRedis(redis)
    since = monotonic()
    wait_until(lambda: circuit.fields().get("ignored_calls") == "3", "ignored calls are written")
    assert circuit.number("successful_calls") == 20
    assert monotonic() - since < PATIENCE
    trip(breaker, redis)
    be_rejected(breaker, 7)
    wait_until(lambda: circuit.number("rejected_calls") == 7, "rejections are written")


def test_a_timer_is_there_for_each_view(redis: Redis) -> None:
    """A pause in which nothing is watched, and a new view after it: the timer begins anew each time."""
    breaker = stale_breaker(redis, 0.02)
    circuit = CircuitInRedis(redis)
    for times in range(1, 8):
        succeed(breaker)
        wait_until(lambda times=times: circuit.field("successful_calls") == str(times), "it is written", 5)  # type: ignore[misc]
        time.sleep(0.01 * times)


def test_an_idle_process_sends_nothing(redis: Redis) -> None:
    """Once all is written and the view is old, nothing is sent any more."""
    breaker = stale_breaker(redis, 0.02)
    succeed(breaker, 5)
    wait_until(lambda: unwritten(breaker) == 0, "all is written")
    time.sleep(0.1)
    redis.config_resetstat()
    time.sleep(0.2)
    assert commands_of_breakers(redis) == 0


@pytest.mark.parametrize("is_open", [False, True], ids=["closed", "open"])
def test_scripts_grow_with_time_and_not_with_calls(redis: Redis, is_open: bool) -> None:
    """One busy process sends a script per renewal, however many calls it makes."""
    load_scripts(redis)
    breaker = stale_breaker(redis, 0.05)
    if is_open:
        breaker.force_open("maintenance")
        be_rejected(breaker)
    else:
        succeed(breaker)
    redis.config_resetstat()
    began = monotonic()
    calls = 0
    while monotonic() - began < 0.5:
        if is_open:
            be_rejected(breaker, 10)
        else:
            succeed(breaker, 10)
        calls += 10
    seconds = monotonic() - began
    scripts = number_of_scripts(redis)
    # The timer renews after three quarters of the staleness, and a call where the timer was late.
    assert 1 < scripts <= seconds / 0.05 * (1 / 0.75 + 1) + 2
    assert calls > 2 * scripts


def test_unwritten_calls_are_told(redis: Redis) -> None:
    """get_metrics tells how many calls are held back; Redis does not know them yet."""
    breaker = stale_breaker(redis)
    hold(breaker, 6)
    be_ignored(breaker, 2)
    metrics = breaker.get_metrics()
    assert metrics["unwritten_calls"] == 8
    assert metrics["successful_calls"] == 1
    assert metrics["redis_available"] is True
    assert new_breaker(redis).get_metrics()["unwritten_calls"] == 0
    fail(breaker)
    metrics = breaker.get_metrics()
    assert (metrics["unwritten_calls"], metrics["successful_calls"], metrics["ignored_calls"]) == (0, 7, 2)


def test_a_with_block_on_a_view(redis: Redis) -> None:
    """Blocks count as calls do: a success is held back, a failure is written at once, with what was held."""
    breaker = stale_breaker(redis)
    hold(breaker, 0)
    with breaker, breaker:
        pass
    assert unwritten(breaker) == 2
    with pytest.raises(ServiceDownError), breaker:
        service_down()
    assert CircuitInRedis(redis).numbers("successful_calls", "failed_calls") == {
        "successful_calls": 3,
        "failed_calls": 1,
    }


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_report_counts_once_however_often_it_is_told(redis: Redis, outcome: Outcome) -> None:
    """An admission on a view that is reported three times counts once, with its first outcome."""
    breaker = stale_breaker(redis)
    hold(breaker, 0)
    admission = breaker.admit()
    breaker.report(admission, outcome)
    breaker.report(admission, outcome)
    breaker.report(admission, Outcome.FAILURE)
    fail(breaker)
    metrics = breaker.get_metrics()
    expected = {"success": 1, "failure": 1, "ignored": 0, "released": 0}
    expected[outcome.value] += 1
    assert {
        "success": metrics["successful_calls"],
        "failure": metrics["failed_calls"],
        "ignored": metrics["ignored_calls"],
        "released": metrics["released_calls"],
    } == expected


def test_a_report_carries_what_the_service_asked_for(redis: Redis) -> None:
    """The failure that opens the circuit on a view decides for how long, as without a staleness."""
    breaker = stale_breaker(redis, failure_threshold=1)
    hold(breaker, 0)
    breaker.report(breaker.admit(), Outcome.FAILURE, ServiceDownError("503"), retry_after=123.0)
    retry_after = be_rejected(breaker).retry_after
    assert retry_after == pytest.approx(123, abs=10)
    fields = CircuitInRedis(redis).fields()
    assert int(fields["open_until"]) - int(fields["opened_at"]) == 123_000


async def _never() -> None:
    """What nobody awaits."""


def _awaited_by_nobody() -> object:
    return _never()


def test_what_is_released_is_written_by_the_timer(redis: Redis) -> None:
    """A function that returned an awaitable, and nothing after it: its release is written in time."""
    breaker = stale_breaker(redis, STALENESS)
    breaker.report(breaker.admit(), Outcome.SUCCESS)
    wait_until(lambda: unwritten(breaker) == 0, "the first is written")
    time.sleep(2 * STALENESS)  # nobody watches an idle view
    breaker.admit()
    with pytest.raises(TypeError):
        breaker.call(_awaited_by_nobody)
    circuit = CircuitInRedis(redis)
    wait_until(lambda: circuit.number("released_calls") == 1, "the release is written", 5)


def test_an_idle_circuit_is_forgotten_and_tallies_come_late(redis: Redis) -> None:
    """What was held back of a circuit that Redis forgot is tallied in the new one, and decides nothing."""
    breaker = stale_breaker(redis, idle_ttl=60)
    hold(breaker, 5)
    circuit = CircuitInRedis(redis)
    redis.delete(circuit.key, circuit.leases_key, circuit.events_key, f"{circuit.key}:batches")
    fail(breaker)
    assert circuit.numbers("successful_calls", "failed_calls", "late_results", "failure_count") == {
        "successful_calls": 5,
        "failed_calls": 1,
        "late_results": 6,
        "failure_count": 0,
    }
    fail(breaker)
    assert circuit.number("failure_count") == 1


def test_renewals_keep_a_circuit_from_being_forgotten(redis: Redis) -> None:
    """A process that calls on its view keeps the circuit's keys for idle_ttl from its last renewal."""
    breaker = stale_breaker(redis, 0.05, idle_ttl=0.4, probe_timeout=0.2, lease_timeout=0.4)
    circuit = CircuitInRedis(redis)
    succeed(breaker)
    epoch = circuit.field("epoch")
    ends = monotonic() + 0.8
    while monotonic() < ends:
        succeed(breaker)
        time.sleep(0.005)
    assert circuit.field("epoch") == epoch
    assert all(0 < redis.pttl(key) <= 400 for key in redis.keys("sharedbreaker:{orders}*"))
    wait_until(lambda: not redis.exists(circuit.key), "the idle circuit is forgotten", 5)
    assert redis.keys("sharedbreaker:{orders}*") == []


def test_views_of_an_open_circuit_leave_nothing_behind(redis: Redis) -> None:
    """However often an open circuit is looked at, the process keeps no more of it."""
    breaker = stale_breaker(redis, 0.01)
    breaker.force_open("maintenance")
    ends = monotonic() + 0.4
    while monotonic() < ends:
        be_rejected(breaker)
    assert len(breaker._store._held_back.past) <= 4
