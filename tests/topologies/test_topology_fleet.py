"""Looking at a whole fleet where its circuits lie on several masters, behind Sentinel, or under an ACL."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator

import pytest
from redis import Redis
from redis.cluster import RedisCluster
from topology_cluster import Cluster, running_cluster
from topology_lifecycle import new_breaker, succeed

from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.store.fleet import Fleet

READER_RIGHTS = ("EVALSHA", "EVAL", "SMEMBERS", "TIME", "HGETALL", "HGET", "ZCOUNT", "ZSCORE")
PATIENCE = 20.0


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def client(cluster: Cluster) -> Iterator[RedisCluster]:
    client = cluster.client()
    yield client
    client.close()


def fill(cluster: Cluster, client: RedisCluster) -> list[list[str]]:
    """Two circuits on each master; their names by master."""
    names = [cluster.names_on(master, 2) for master in range(3)]
    for name in [name for on_master in names for name in on_master]:
        succeed(new_breaker(client, name=name, redis_timeout=5))
    return names


def evaluations(cluster: Cluster) -> int:
    """Scripts that clients ran since the last time, on all masters together."""
    count = 0
    for node in cluster.nodes:
        told = node.info("commandstats")
        assert isinstance(told, dict)
        count += sum(int(told[name]["calls"]) for name in ("cmdstat_evalsha", "cmdstat_eval") if name in told)
        node.config_resetstat()
    return count


def test_circuits_on_all_masters_are_seen(cluster: Cluster, client: RedisCluster) -> None:
    """One look finds every circuit; the next one asks for each once."""
    names = {name for names in fill(cluster, client) for name in names}
    fleet = Fleet(client, timeout=5)

    first = fleet.look()
    evaluations(cluster)
    second = fleet.look()

    for view in (first, second):
        assert {circuit.name for circuit in view.circuits} == names
        assert view.is_up
        assert not view.troubles
        assert {circuit.count("successful_calls") for circuit in view.circuits} == {1}
    assert evaluations(cluster) == len(names)


@pytest.mark.parametrize("how", ["freeze", "kill"])
def test_a_master_that_is_away_costs_its_own_circuits(
    cluster: Cluster, client: RedisCluster, how: str
) -> None:
    """The other masters' circuits are seen, in the time of one wait, and the look says it is not whole."""
    names = fill(cluster, client)
    registry_owner = cluster.owner_of("sharedbreaker:breakers")
    away = next(master for master in range(3) if master != registry_owner)
    fleet = Fleet(client, timeout=0.5)
    deadline = time.monotonic() + PATIENCE
    while not fleet.look().is_up:
        assert time.monotonic() < deadline
    getattr(cluster.servers[away], how)()

    started = time.monotonic()
    view = fleet.look()
    took = time.monotonic() - started

    assert not view.is_up
    assert {circuit.name for circuit in view.circuits} == {
        name for master in range(3) if master != away for name in names[master]
    }
    assert set(view.troubles) == set(names[away])
    assert took < 2
    if how == "freeze":
        cluster.servers[away].thaw()


def test_a_list_whose_master_is_away_costs_no_known_circuit(cluster: Cluster, client: RedisCluster) -> None:
    """Where the list's master is away, the known circuits of the other masters are still seen."""
    names = fill(cluster, client)
    owner = cluster.owner_of("sharedbreaker:breakers")
    fleet = Fleet(client, timeout=0.5)
    deadline = time.monotonic() + PATIENCE
    while not fleet.look().is_up:
        assert time.monotonic() < deadline
    cluster.servers[owner].freeze()

    view = fleet.look()

    cluster.servers[owner].thaw()
    assert not view.is_up
    assert {circuit.name for circuit in view.circuits} == {
        name for master in range(3) if master != owner for name in names[master]
    }


def test_a_circuit_that_moved_is_found_again(cluster: Cluster, client: RedisCluster) -> None:
    """After its slot has moved to another master, a circuit is seen there before long."""
    fill(cluster, client)
    name = cluster.names_on(0, 1)[0]
    fleet = Fleet(client, timeout=5)
    assert fleet.look().is_up
    for _ in cluster.migrate(cluster.slot_of(f"{{{name}}}"), 0, 1):
        pass

    deadline = time.monotonic() + PATIENCE
    while not (view := fleet.look()).is_up:
        assert time.monotonic() < deadline
    assert name in {circuit.name for circuit in view.circuits}


def test_a_cluster_that_is_not_there_is_no_error(cluster: Cluster, client: RedisCluster) -> None:
    """With every master gone a look says so in time, and raises nothing."""
    fleet = Fleet(client, timeout=0.3)
    for server in cluster.servers:
        server.stop()

    started = time.monotonic()
    view = fleet.look()

    assert not view.is_up
    assert not view.circuits
    assert time.monotonic() - started < 3


def test_a_forked_child_has_a_connection_of_its_own(redis: Redis, redis_server: RedisServer) -> None:
    """Parent and child never read each other's answers."""
    succeed(new_breaker(redis_server.url, redis_timeout=5))
    fleet = Fleet(redis_server.url, timeout=5)
    fleet.look()
    before = {client["id"] for client in redis.client_list()}
    looked, say_looked = os.pipe()
    counted, say_counted = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(say_looked, b"1" if fleet.look().is_up else b"0")
        os.read(counted, 1)
        os._exit(0)

    is_up = os.read(looked, 1)
    made = {client["id"] for client in redis.client_list()} - before
    os.write(say_counted, b".")
    os.waitpid(child, 0)
    for end in (looked, say_looked, counted, say_counted):
        os.close(end)

    assert is_up == b"1"
    assert len(made) == 1


@pytest.mark.parametrize("missing", ["", *READER_RIGHTS])
def test_a_reader_needs_these_rights_and_no_others(
    redis: Redis, redis_server: RedisServer, missing: str
) -> None:
    """A user who may only read sees everything; one without any of the rights is told which."""
    breaker = new_breaker(redis_server.url, redis_timeout=5)
    succeed(breaker)
    redis.hset("sharedbreaker:{orders}", "probes", "probe:somebody")
    redis.script_flush()
    rights = [f"+{right.lower()}" for right in READER_RIGHTS if right != missing]
    redis.execute_command(
        "ACL", "SETUSER", "reader", "reset", "on", ">word", "~sharedbreaker:*", "-@all", *rights
    )
    try:
        fleet = Fleet(f"redis://reader:word@127.0.0.1:{redis_server.port}/0", timeout=5)
        fleet.look()  # the first one brings the script, the second one names it
        view = fleet.look()
    finally:
        redis.execute_command("ACL", "DELUSER", "reader")

    assert view.is_up is (not missing)
    assert bool(view.circuits) is (not missing)
    if missing:
        assert "permission" in str(view.troubles).lower() or "can't run" in str(view.troubles)


def test_fleets_that_come_and_go_use_up_nothing(redis_server: RedisServer, redis: Redis) -> None:
    """However many are made in one process, each can look, and none leaves its connection behind."""
    succeed(new_breaker(redis))
    before = len(redis.client_list())

    for _ in range(150):
        view = Fleet(redis_server.url).look()
        assert (view.is_up, [circuit.name for circuit in view.circuits]) == (True, ["orders"])
    succeed(new_breaker(redis_server.url, name="other", redis_timeout=0.5, redis_retry_interval=1))

    gc.collect()
    assert len(redis.client_list()) <= before + 3
