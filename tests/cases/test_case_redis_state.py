"""The state is one, in Redis: processes that come and go do not touch it."""

from __future__ import annotations

import pytest
from case_pods import Pod, pods
from redis import Redis

import breaker_kinds
from circuit_in_redis import (
    OPEN_MS,
    CircuitInRedis,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    trip,
    trip_and_wait,
)
from sharedbreaker import CircuitState
from sharedbreaker.demo.redis_server import RedisServer


def everything(redis: Redis) -> dict[str, bytes | None]:
    """Every key's content, to the byte."""
    return {key: redis.dump(key) for key in redis.scan_iter()}


def staleness_of_kind() -> float:
    """Strict for one kind and a staleness for the other: each process that is started takes its time."""
    return 0.05 if breaker_kinds.is_async() else 0


def test_sb023_processes_that_only_construct_change_no_byte(redis_server: RedisServer, redis: Redis) -> None:
    """Processes that construct eleven breakers each, of other settings, write nothing and are rejected."""
    max_staleness = staleness_of_kind()
    trip(new_breaker(redis, failure_threshold=5), redis)
    before = everything(redis)

    with pods(2, redis_server.url, failure_threshold=5, max_staleness=max_staleness) as crew:
        for pod in crew:
            pod.ask("construct others")
        assert everything(redis) == before

        answers = [pod.ask("succeed") for pod in crew]
    assert [answer["rejected"] for answer in answers] == ["open"] * 2


def test_sb023_construction_without_a_circuit_makes_none(redis: Redis) -> None:
    """Where nobody has called yet, constructing, looking at figures and a scrape leave Redis empty."""
    breaker = new_breaker(redis)
    breaker.get_state()
    breaker.get_metrics()
    breaker.export_prometheus_metrics()

    assert everything(redis) == {}


@pytest.mark.parametrize("timeout", [20, 2 * OPEN_MS / 1000])
def test_sb023_first_call_with_other_settings_leaves_it_open(redis: Redis, timeout: float) -> None:
    """A deploy declares its settings at its first call: the circuit stays open, and never for longer."""
    circuit = trip(new_breaker(redis), redis)
    before = circuit.state_and_counts()

    rejection = be_rejected(new_breaker(redis, failure_threshold=9, timeout=timeout))

    after = circuit.state_and_counts()
    left = min(timeout, OPEN_MS / 1000)
    assert rejection.retry_after is not None
    assert left / 2 < rejection.retry_after <= left
    assert int(after["open_until"]) == int(before["opened_at"]) + left * 1000
    assert {**after, "open_until": ""} == {**before, "open_until": ""}
    assert circuit.field("failure_threshold") == "9"


def test_peer_settings_of_a_new_deploy_take_effect(redis: Redis) -> None:
    """Who deploys another threshold gets it, for every process, whoever made the circuit first."""
    old = new_breaker(redis, failure_threshold=2)
    succeed(old)
    succeed(new_breaker(redis, failure_threshold=4))

    fail(old, 3)
    assert old.get_metrics()["failure_threshold"] == 4
    succeed(old)
    fail(old, 4)
    be_rejected(old)


def test_sb024_processes_that_keep_coming_do_not_extend_the_open_period(
    redis_server: RedisServer, redis: Redis
) -> None:
    """Whatever starts and calls meanwhile, the circuit is open until the moment set when it opened."""
    max_staleness = staleness_of_kind()
    circuit = trip(new_breaker(redis), redis)
    circuit.elapse(OPEN_MS - 30_000)
    before = {name: circuit.field(name) for name in ("opened_at", "open_until", "epoch")}
    with pods(2, redis_server.url, max_staleness=max_staleness) as crew:
        answers = [pod.ask("succeed", times=2) for pod in crew]
    assert [answer["rejected"] for answer in answers] == ["open"] * 2
    assert all(0 < answer["retry_after"] <= 30 for answer in answers)
    assert {name: circuit.field(name) for name in before} == before

    circuit.elapse(30_000)

    with Pod(redis_server.url, max_staleness=max_staleness) as pod:
        assert pod.ask("succeed") == "done"


def test_sb025_circuit_recovers_though_all_who_saw_it_open_are_gone(
    redis_server: RedisServer, redis: Redis
) -> None:
    """With every worker killed, the first calls of new ones are the probes, and tallies go on."""
    max_staleness = staleness_of_kind()
    with pods(2, redis_server.url, max_staleness=max_staleness) as crew:
        assert crew[0].ask("fail", times=3) == "failure"
        assert crew[1].ask("succeed")["rejected"] == "open"
        for pod in crew:
            pod.kill()
    circuit = CircuitInRedis(redis)
    rejected = circuit.number("rejected_calls")
    circuit.elapse(OPEN_MS)

    with Pod(redis_server.url, max_staleness=max_staleness) as pod:
        assert pod.ask("succeed", times=2) == "done"
        assert pod.ask("metrics")["state"] == "closed"

    assert circuit.field("state") == "closed"
    assert circuit.numbers("failed_calls", "successful_calls", "rejected_calls") == {
        "failed_calls": 3,
        "successful_calls": 2,
        "rejected_calls": rejected,
    }


def test_sb025_a_probe_whose_process_is_killed_does_not_strand_the_circuit(
    redis_server: RedisServer, redis: Redis
) -> None:
    """The last worker dies in mid-probe: once the probe's lease is over, new workers probe and close."""
    circuit = trip_and_wait(new_breaker(redis, success_threshold=1), redis)
    with Pod(redis_server.url, success_threshold=1) as pod:
        assert pod.ask("enter").startswith("probe:")
        pod.kill()
    newcomer = new_breaker(redis, success_threshold=1)
    assert be_rejected(newcomer).state is CircuitState.HALF_OPEN

    circuit.elapse(max(0, int(max(circuit.leases().values())) - circuit.now_ms()))

    succeed(newcomer)
    assert circuit.field("state") == "closed"
