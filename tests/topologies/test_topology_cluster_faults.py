"""A Redis Cluster of which a part, or all, does not answer: each circuit takes note of its own master."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from redis.cluster import RedisCluster
from topology_cluster import Cluster, running_cluster
from topology_lifecycle import (
    SCHEDULING,
    SharedCircuit,
    be_rejected,
    fail,
    is_shared,
    new_breaker,
    passes,
    succeed,
    tallies_of,
    wait_for_tallies,
    wait_until,
    wait_until_shared,
)
from topology_traffic import Traffic

from sharedbreaker import CircuitBreaker

REDIS_TIMEOUT = 0.5


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def client(cluster: Cluster) -> Iterator[RedisCluster]:
    client = cluster.client()
    client.flushall(target_nodes=RedisCluster.PRIMARIES)
    yield client
    client.close()


def breakers_on_all_masters(cluster: Cluster, client: RedisCluster, prefix: str) -> list[CircuitBreaker]:
    """One breaker on each master, in the masters' order, each called once."""
    names = [cluster.names_on(master, 1, prefix)[0] for master in range(3)]
    breakers = [new_breaker(client, name=name, redis_timeout=REDIS_TIMEOUT) for name in names]
    for breaker in breakers:
        succeed(breaker)
    return breakers


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_frozen_master_concerns_its_own_circuits_only(
    cluster: Cluster, client: RedisCluster, frozen: int
) -> None:
    """Circuits of the other masters stay shared; those of the frozen one decide locally, and lose no call."""
    breakers = breakers_on_all_masters(cluster, client, f"frozen-{frozen}")
    cluster.servers[frozen].freeze()
    try:
        began = time.monotonic()
        fail(breakers[frozen], 3)
        be_rejected(breakers[frozen], 2)
        assert time.monotonic() - began < REDIS_TIMEOUT + SCHEDULING
        assert not is_shared(breakers[frozen])
        others = [breakers[number] for number in {0, 1, 2} - {frozen}]
        wait_until_shared(*others)
        for _ in range(3):
            be_rejected(breakers[frozen])
            for other in others:
                succeed(other)
                assert is_shared(other)
    finally:
        cluster.servers[frozen].thaw()

    wait_until_shared(*breakers)
    wait_for_tallies(breakers[frozen], success=1, failure=3, rejected=5)


@pytest.mark.parametrize("how", ["frozen", "killed"])
def test_whole_cluster_away_never_fails_a_call(cluster: Cluster, client: RedisCluster, how: str) -> None:
    """With every master frozen or dead calls pass in bounded time, and failures open the circuit."""
    breakers = breakers_on_all_masters(cluster, client, f"all-{how}")
    with ExitStack() as stack:
        for server in cluster.servers:
            server.freeze() if how == "frozen" else server.kill()
            stack.callback(server.thaw if how == "frozen" else server.start)
        for breaker in breakers:
            began = time.monotonic()
            succeed(breaker)
            assert time.monotonic() - began < REDIS_TIMEOUT + SCHEDULING
            fail(breaker, 3)
            be_rejected(breaker)

    wait_until_shared(*breakers)


def test_cluster_that_is_away_from_the_start_never_fails_a_call(
    cluster: Cluster, client: RedisCluster
) -> None:
    """A process whose first call finds no master decides locally, and shares as soon as there is one."""
    breaker = new_breaker(client, name="late-start", redis_timeout=REDIS_TIMEOUT)
    with ExitStack() as stack:
        for server in cluster.servers:
            server.freeze()
            stack.callback(server.thaw)
        succeed(breaker, 2)
        fail(breaker)
        assert not is_shared(breaker)

    wait_until_shared(breaker)
    wait_for_tallies(breaker, success=2, failure=1)


def test_new_circuit_needs_no_more_than_its_own_master(cluster: Cluster, client: RedisCluster) -> None:
    """While the master that keeps the list of names is away, new circuits of other masters are shared."""
    registry = cluster.owner_of("sharedbreaker:breakers")
    (name,) = cluster.names_on((registry + 1) % 3, 1, "new")
    cluster.servers[registry].freeze()
    try:
        breaker = new_breaker(client, name=name, redis_timeout=REDIS_TIMEOUT)
        # The process looks for its Cluster, and tries to have the name listed: each may cost it one wait.
        for _ in range(2):
            succeed(breaker)
            wait_until_shared(breaker)
        for _ in range(5):
            succeed(breaker)
            assert is_shared(breaker)
    finally:
        cluster.servers[registry].thaw()

    # The list is nothing that calls need, and is seen to seldom. Let the time for it have come.
    breaker._store._shared._register_at = 0.0
    succeed(breaker)
    admin = cluster.client(decode_responses=True)
    # A call tries it again, and not each call.
    wait_until(lambda: passes(breaker) and SharedCircuit(admin, name).is_listed(), "the circuit is listed")
    admin.close()


def test_master_killed_under_traffic(cluster: Cluster, client: RedisCluster) -> None:
    """No call fails; circuits elsewhere lose Redis once at most; those of the dead one open locally."""
    dead = 1
    names = {master: cluster.names_on(master, 2, "killed") for master in range(3)}
    changes: dict[str, list[bool]] = {name: [] for group in names.values() for name in group}
    breakers = {
        name: new_breaker(client, name=name, redis_timeout=REDIS_TIMEOUT, on_redis_change=seen.append)
        for name, seen in changes.items()
    }
    for breaker in breakers.values():
        succeed(breaker)
    healthy = [name for master in {0, 1, 2} - {dead} for name in names[master]]
    with Traffic(list(breakers.values())) as traffic:
        traffic.wait_for_calls(300)
        cluster.servers[dead].kill()
        traffic.wait_for_calls(1500)
        shared = [is_shared(breakers[name]) for _ in range(10) for name in healthy]
    for name in names[dead]:
        fail(breakers[name], 3)
        be_rejected(breakers[name])
    cluster.servers[dead].start()

    assert traffic.longest < REDIS_TIMEOUT + SCHEDULING + traffic.stood_still
    assert all(shared)
    assert all(changes[name] in ([], [False, True]) for name in healthy), changes
    for name in healthy:
        counts = traffic.counts(name)
        wait_for_tallies(breakers[name], **{**counts, "success": counts["success"] + 1})
    wait_until_shared(*breakers.values())
    for name in names[dead]:
        assert tallies_of(breakers[name])["failed_calls"] == 3
