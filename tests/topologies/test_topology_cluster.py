"""A Redis Cluster of three masters in good health: circuits on all of them, and a slot that moves."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import cast

import pytest
from redis import Redis
from redis.cluster import RedisCluster
from test_topology_acl import PASSWORD, RIGHTS, USER
from topology_cluster import Cluster, running_cluster
from topology_lifecycle import (
    SharedCircuit,
    check_lifecycle,
    fail,
    is_shared,
    new_breaker,
    succeed,
    wait_for_tallies,
)
from topology_traffic import Traffic

from sharedbreaker import CircuitBreaker

CLUSTER_RIGHTS = (*RIGHTS, "CLUSTER|SLOTS", "COMMAND", "ASKING")
"""What a Cluster takes. ASKING is sent only while a slot moves."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def clients(cluster: Cluster) -> Iterator[list[RedisCluster]]:
    """Two clients as a user would make them, and one that looks at what is there."""
    clients = [cluster.client(), cluster.client(protocol=2), cluster.client(decode_responses=True)]
    yield clients
    for client in clients:
        client.close()


@pytest.fixture
def admin(clients: list[RedisCluster]) -> RedisCluster:
    clients[-1].flushall(target_nodes=RedisCluster.PRIMARIES)
    return clients[-1]


def pair(
    clients: list[RedisCluster], name: str, redis_timeout: float = 5
) -> tuple[CircuitBreaker, CircuitBreaker]:
    """Two breakers of one circuit over a client each."""
    first, second = (new_breaker(client, name=name, redis_timeout=redis_timeout) for client in clients[:2])
    return first, second


def test_lifecycle_of_thirty_circuits_on_all_masters(
    cluster: Cluster, clients: list[RedisCluster], admin: RedisCluster
) -> None:
    """Thirty circuits, ten on each master, live a whole life, and all of them are listed."""
    names = [name for master in range(3) for name in cluster.names_on(master, 10)]

    for name in names:
        check_lifecycle(*pair(clients, name), SharedCircuit(admin, name))

    assert {cluster.owner_of(SharedCircuit(admin, name).key) for name in names} == {0, 1, 2}
    assert cast("set[str]", admin.smembers(SharedCircuit(admin).registry_key)) == set(names)


def test_client_that_is_handed_in_stays_as_it_was(cluster: Cluster, admin: RedisCluster) -> None:
    """A RedisCluster client tells where the Cluster is, and is neither changed nor closed."""
    client = cluster.client(socket_timeout=3, decode_responses=True)

    def settings() -> object:
        return dict(client.nodes_manager.connection_kwargs), client.retry.get_retries()

    before = settings()

    succeed(new_breaker(client, name="handed-in"))

    assert settings() == before
    assert client.ping()
    client.close()


def test_first_calls_of_many_threads_are_no_outage(
    cluster: Cluster, clients: list[RedisCluster], caplog: pytest.LogCaptureFixture
) -> None:
    """While a process connects for the first time nobody is told that Redis is away."""
    changes: list[bool] = []
    start = threading.Barrier(8)
    client = cluster.client()
    breaker = new_breaker(client, name="first-calls", on_redis_change=changes.append)

    def call() -> None:
        start.wait()
        succeed(breaker)

    with caplog.at_level(logging.WARNING, "sharedbreaker"):
        threads = [threading.Thread(target=call, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    client.close()
    assert changes == []
    assert caplog.text == ""


def test_plain_client_of_one_node_lets_calls_pass_and_says_what_is_wrong(
    cluster: Cluster, admin: RedisCluster, caplog: pytest.LogCaptureFixture
) -> None:
    """With a plain client the log says that this is a Cluster and that a RedisCluster client is needed."""
    client = Redis(port=cluster.ports[0])

    with caplog.at_level(logging.WARNING, "sharedbreaker"):
        for master in (1, 2):
            (name,) = cluster.names_on(master, 1, "plain")
            breaker = new_breaker(client, name=name, redis_retry_interval=60)
            succeed(breaker)
            fail(breaker)
            assert not is_shared(breaker)

    client.close()
    assert 1 <= len(caplog.records) <= 4
    assert "MOVED" in caplog.text.upper()
    assert "RedisCluster" in caplog.text


def test_flushed_scripts_of_one_node_are_sent_again(
    cluster: Cluster, clients: list[RedisCluster], admin: RedisCluster
) -> None:
    """After SCRIPT FLUSH on one master no call fails, no circuit degrades and every call is counted once."""
    names = [cluster.names_on(master, 1, "flushed")[0] for master in range(3)]
    breakers = [breaker for name in names for breaker in pair(clients, name)]
    for breaker in breakers:
        succeed(breaker)

    cluster.nodes[1].script_flush()
    for breaker in breakers:
        succeed(breaker, 2)
        fail(breaker)

    for breaker in breakers:
        wait_for_tallies(breaker, success=6, failure=2)
        assert SharedCircuit(admin, breaker.name).away_events() == []


def test_listed_rights_suffice_on_a_cluster(cluster: Cluster, admin: RedisCluster) -> None:
    """The rights for one server and three more suffice for a whole life on a Cluster."""
    for node in cluster.nodes:
        words = ("resetchannels", "~sharedbreaker:*", *(f"+{right.lower()}" for right in CLUSTER_RIGHTS))
        node.execute_command("ACL", "SETUSER", USER, "on", f">{PASSWORD}", *words)
    clients = [cluster.client(username=USER, password=PASSWORD) for _ in range(2)]
    for master in range(3):
        (name,) = cluster.names_on(master, 1, "restricted")
        check_lifecycle(*pair(clients, name), SharedCircuit(admin, name))
    for client in clients:
        client.close()


def test_slot_that_moves_under_traffic(
    cluster: Cluster, clients: list[RedisCluster], admin: RedisCluster
) -> None:
    """While a circuit's slot moves, key by key, no call fails; afterwards every call is counted once."""
    circuit = SharedCircuit(admin, "moving")
    source = cluster.owner_of(circuit.key)
    breakers = pair(clients, circuit.name, redis_timeout=1)
    with Traffic(breakers, threads=6) as traffic:
        traffic.wait_for_calls(100)
        for _ in cluster.migrate(cluster.slot_of(circuit.key), source, (source + 1) % 3):
            traffic.wait_for_calls(100)
        traffic.wait_for_calls(200)

    for breaker in breakers:
        wait_for_tallies(breaker, **traffic.counts(circuit.name))
    assert circuit.leases() == 0
    assert cluster.nodes[source].execute_command("CLUSTER COUNTKEYSINSLOT", cluster.slot_of(circuit.key)) == 0


def test_other_circuits_take_no_notice_of_a_slot_that_moves(
    cluster: Cluster, clients: list[RedisCluster], admin: RedisCluster
) -> None:
    """While one circuit's slot is half moved, circuits in other slots are shared without a break."""
    changes: list[bool] = []
    moving = SharedCircuit(admin, "half-moved")
    source = cluster.owner_of(moving.key)
    (name,) = cluster.names_on((source + 2) % 3, 1, "resting")
    other = new_breaker(clients[0], name=name, on_redis_change=changes.append)
    succeed(other)
    calls = 1
    with Traffic([new_breaker(clients[0], name=moving.name)], threads=3) as traffic:
        traffic.wait_for_calls(50)
        for step in cluster.migrate(cluster.slot_of(moving.key), source, (source + 1) % 3):
            if step:
                for _ in range(20):
                    traffic.wait_for_calls(5)
                    succeed(other)
                    calls += 1

    assert changes == []
    wait_for_tallies(other, success=calls)
