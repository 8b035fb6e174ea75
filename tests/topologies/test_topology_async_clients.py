"""An AsyncCircuitBreaker with a redis.asyncio client of any kind: it tells where Redis is, and no more."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest
import redis.asyncio as redis_asyncio
from redis.asyncio.sentinel import Sentinel
from test_topology_standalone import PASSWORD, Server
from topology_certificates import make_certificates
from topology_cluster import running_cluster
from topology_lifecycle import SharedCircuit
from topology_sentinel import SERVICE, running_sentinels

from guarded_calls import ServiceDownError
from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, CircuitBreakerError

pytestmark = pytest.mark.sync_only(
    "an AsyncCircuitBreaker without its facade, and a CircuitBreaker beside it"
)

SETTINGS: dict[str, Any] = {
    "name": "orders",
    "failure_threshold": 2,
    "success_threshold": 1,
    "expected_exception": ServiceDownError,
    "redis_timeout": 5,
}


@pytest.fixture(autouse=True)
def nothing_is_left_to_the_collector() -> Iterator[None]:
    yield
    gc.collect()


async def work() -> str:
    await asyncio.sleep(0)
    return "done"


async def service_down() -> None:
    raise ServiceDownError("503")


async def live(client: Any, circuit: SharedCircuit) -> None:
    """Lead a circuit through its states, with many calls at once, and see that the client is left alone."""
    breaker = AsyncCircuitBreaker(redis=client, **SETTINGS)
    ends = await asyncio.gather(*(breaker.call(work) for _ in range(30)))
    assert ends == ["done"] * 30
    for _ in range(2):
        with pytest.raises(ServiceDownError):
            await breaker.call(service_down)
    with pytest.raises(CircuitBreakerError):
        await breaker.call(work)
    circuit.end_open_period()
    assert await breaker.call(work) == "done"
    metrics = await breaker.get_metrics()
    assert metrics["redis_available"] is True
    assert (metrics["state"], metrics["successful_calls"], metrics["failed_calls"]) == ("closed", 31, 2)
    assert circuit.leases() == 0


WAYS = ["tcp", "tls", "unix"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(make_certificates(tmp_path_factory.mktemp("certificates")))
    yield server
    server.close()


def client_of(server: Server, way: str, password: str | None, protocol: int) -> redis_asyncio.Redis:
    server.need(way)
    if way == "unix":
        return redis_asyncio.Redis(
            unix_socket_path=str(server.socket), db=2, password=password, protocol=protocol
        )
    if way == "tcp":
        return redis_asyncio.Redis(port=server.port, db=2, password=password, protocol=protocol)
    return redis_asyncio.Redis(
        host="localhost",
        port=server.tls_port,
        db=2,
        password=password,
        protocol=protocol,
        ssl=True,
        ssl_ca_certs=str(server.certificates.authority),
        decode_responses=True,
    )


@pytest.mark.parametrize("from_url", [False, True], ids=["settings", "URL"])
@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("password", [None, PASSWORD], ids=["open", "password"])
@pytest.mark.parametrize("way", WAYS)
def test_client_for_loops(
    server: Server, way: str, password: str | None, protocol: int, *, from_url: bool
) -> None:
    """A client over TCP, TLS or a socket leads the breaker to its server, and is neither used nor changed."""
    server.require(password)

    async def whole() -> None:
        if from_url:
            client = redis_asyncio.Redis.from_url(server.url(way, password, protocol))
        else:
            client = client_of(server, way, password, protocol)
        before = dict(client.connection_pool.connection_kwargs)
        await live(client, SharedCircuit(server.admin))
        assert client.connection_pool.connection_kwargs == before
        assert client.connection_pool._available_connections == []
        assert not client.connection_pool._in_use_connections
        await client.aclose()

    asyncio.run(whole())


@pytest.mark.parametrize("kind", ["loops", "threads"])
def test_client_of_either_kind_serves_breakers_of_either_kind(server: Server, kind: str) -> None:
    """A breaker for threads takes a client for event loops, and the other way round: they share a circuit."""
    server.require(PASSWORD)
    circuit = SharedCircuit(server.admin)

    async def whole() -> None:
        client: Any
        if kind == "loops":
            client = client_of(server, "tcp", PASSWORD, 3)
        else:
            client = server.client("tcp", PASSWORD, 3)
        await live(client, circuit)
        breaker = CircuitBreaker(redis=client, **SETTINGS)
        assert await asyncio.to_thread(breaker.call, lambda: "done") == "done"
        if kind == "loops":
            await client.aclose()
        else:
            client.close()

    asyncio.run(whole())

    assert circuit.fields()["successful_calls"] == "32"


def test_client_of_sentinel() -> None:
    """A client of an asyncio Sentinel leads to the master, from loop after loop."""
    with running_sentinels() as setup:
        admin = setup.servers[0].client(decode_responses=True)
        addresses = [("127.0.0.1", sentinel.port) for sentinel in setup.sentinels]

        async def whole() -> None:
            sentinel = Sentinel(addresses)
            client = sentinel.master_for(SERVICE)
            await live(client, SharedCircuit(admin))
            assert client.connection_pool._available_connections == []
            await client.aclose()
            for one in sentinel.sentinels:
                await one.aclose()

        for _ in range(2):
            asyncio.run(whole())
            admin.flushall()
        admin.close()


def test_client_of_a_cluster() -> None:
    """A client of an asyncio RedisCluster leads to the circuit's master, from loop after loop."""
    with running_cluster() as cluster:
        admin = cluster.client(decode_responses=True)

        async def whole() -> None:
            client = redis_asyncio.RedisCluster(host="127.0.0.1", port=cluster.ports[0])
            await live(client, SharedCircuit(admin))
            assert client._initialize
            await client.aclose()

        for _ in range(2):
            asyncio.run(whole())
            admin.flushall()
        admin.close()
