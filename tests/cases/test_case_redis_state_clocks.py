"""Clocks: those of the pods take no part, and the server's may step."""

from __future__ import annotations

import pytest
from case_pods import Pod
from redis import Redis

from circuit_in_redis import (
    LEASE_MS,
    OPEN_MS,
    PROBE_MS,
    CircuitInRedis,
    be_rejected,
    new_breaker,
    succeed,
    trip,
    trip_and_wait,
)
from sharedbreaker import CircuitState
from sharedbreaker.demo.redis_server import RedisServer

HOUR = 3600
STALENESSES = pytest.mark.parametrize("max_staleness", [0, 0.02], ids=["strict", "stale"])


@pytest.mark.parametrize("opener_is_ahead", [True, False], ids=["opened ahead", "opened behind"])
def test_sb037_clocks_of_pods_take_no_part(
    redis_server: RedisServer, redis: Redis, opener_is_ahead: bool
) -> None:
    """With clocks two hours apart, wall and monotonic, both are refused for the open period and no longer."""
    url = redis_server.url
    max_staleness = 0.02 if opener_is_ahead else 0
    wrong_by = HOUR if opener_is_ahead else -HOUR
    circuit = CircuitInRedis(redis)
    with (
        Pod(url, wrong_by, max_staleness=max_staleness) as opener,
        Pod(url, -wrong_by, max_staleness=max_staleness) as other,
    ):
        assert abs(opener.ask("clock") - other.ask("clock")) > 1.9 * HOUR
        assert opener.ask("fail", times=3) == "failure"
        assert circuit.number("open_until") - circuit.number("opened_at") == OPEN_MS

        answers = [pod.ask("succeed") for pod in (opener, other)]
        assert [answer["rejected"] for answer in answers] == ["open"] * 2
        assert all(0 < answer["retry_after"] <= OPEN_MS / 1000 for answer in answers)

        circuit.elapse(OPEN_MS)
        assert other.ask("fresh succeed") == "done"
        assert opener.ask("fresh succeed") == "done"
        assert other.ask("metrics")["state"] == "closed"


def test_sb037_window_counts_the_calls_of_pods_whose_clocks_differ(
    redis_server: RedisServer, redis: Redis
) -> None:
    """Two pods whose clocks are two hours apart fill one window of a minute, and its rate opens it."""
    rule = {"threshold": 0.5, "window": 60, "minimum_calls": 4}
    url = redis_server.url
    with (
        Pod(url, HOUR, failure_threshold=100, failure_rate=rule) as ahead,
        Pod(url, -HOUR, failure_threshold=100, failure_rate=rule) as behind,
    ):
        assert [pod.ask("succeed") for pod in (ahead, behind)] == ["done"] * 2
        assert ahead.ask("fail") == "failure"
        assert ahead.ask("metrics")["state"] == "closed"
        assert behind.ask("fail") == "failure"

        answers = [pod.ask("succeed") for pod in (ahead, behind)]
    assert [answer["rejected"] for answer in answers] == ["open"] * 2
    assert all(0 < answer["retry_after"] <= OPEN_MS / 1000 for answer in answers)


@STALENESSES
def test_sb038_server_clock_that_steps_back_costs_one_open_period_at_most(
    redis: Redis, max_staleness: float
) -> None:
    """After two minutes back the circuit is open for one whole period from its next call, and no longer.

    Failed at first: under a staleness it stayed open for the two minutes more.
    """
    circuit = trip(new_breaker(redis), redis)
    circuit.elapse(-120_000)

    retry_after = be_rejected(new_breaker(redis, max_staleness=max_staleness)).retry_after
    assert retry_after is not None
    assert OPEN_MS / 1000 - 5 < retry_after <= OPEN_MS / 1000
    circuit.elapse(OPEN_MS)
    succeed(new_breaker(redis, max_staleness=max_staleness))


@STALENESSES
def test_sb038_server_clock_that_steps_forward_ends_the_open_period(
    redis: Redis, max_staleness: float
) -> None:
    """After two minutes forward the next call is the first probe, and no moment is below nought."""
    breaker = new_breaker(redis, max_staleness=max_staleness)
    circuit = trip_and_wait(new_breaker(redis), redis)
    circuit.elapse(120_000)

    first = breaker.admit()
    assert first.is_probe
    breaker.admit()
    retry_after = be_rejected(breaker).retry_after
    assert retry_after is not None
    assert 0 <= retry_after <= 1


def test_sb038_held_open_for_a_time_is_not_lengthened_by_a_step(redis: Redis) -> None:
    """A hold for a minute ends after a minute more at the latest, though the clock went back."""
    breaker = new_breaker(redis)
    breaker.force_open(seconds=600)
    circuit = CircuitInRedis(redis)
    circuit.elapse(-120_000)

    retry_after = be_rejected(breaker).retry_after
    assert retry_after is not None
    assert 0 < retry_after <= 720


def test_sb038_probe_after_a_step_keeps_its_place_one_lease_at_most(redis: Redis) -> None:
    """When the clock went back two minutes, a killed prober blocks for one probe_timeout and no longer."""
    breaker = new_breaker(redis, success_threshold=1)
    circuit = trip_and_wait(breaker, redis)
    breaker.admit()
    circuit.elapse(-120_000)

    assert be_rejected(breaker).state is CircuitState.HALF_OPEN
    circuit.elapse(PROBE_MS)

    succeed(breaker)
    assert circuit.field("state") == "closed"
    assert circuit.field("lost_calls") == "1"


def test_sb038_lease_of_a_closed_circuit_after_a_step_blocks_nobody(redis: Redis) -> None:
    """In closed a lease decides nothing: calls go on, and it is lost when the stepped clock comes to it."""
    breaker = new_breaker(redis)
    breaker.admit()
    circuit = CircuitInRedis(redis)
    circuit.elapse(-120_000)

    succeed(breaker, 3)
    circuit.elapse(120_000 + LEASE_MS)
    succeed(breaker)
    assert circuit.numbers("lost_calls", "failure_count") == {"lost_calls": 1, "failure_count": 0}
