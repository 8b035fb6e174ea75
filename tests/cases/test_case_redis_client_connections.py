"""Cases SB-046, SB-051, SB-053 and SB-054: connections that lead astray, lose or mix replies, or are few."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis.asyncio as redis_asyncio
from case_variants import both_kinds, strict_and_stale
from cutting_proxy import CuttingProxy
from held_call import HeldCall
from redis import Redis
from test_topology_promotion import Promotion
from test_topology_promotion import promotion as promotion
from topology_lifecycle import SharedCircuit, wait_for_tallies, wait_until_shared
from topology_troubles import at_maxclients

from circuit_in_redis import CircuitInRedis, fail, new_breaker, succeed, trip_and_wait
from sharedbreaker import AsyncCircuitBreaker, CircuitBreakerError
from sharedbreaker.demo.redis_server import RedisServer

CALLS = 50


@both_kinds
@strict_and_stale
def test_sb046_demoted_master_is_left_for_the_new_one(promotion: Promotion, max_staleness: float) -> None:
    """A master that is demoted with its connections open costs no call, and the new one has them all."""
    breaker = new_breaker(promotion.proxy.url, max_staleness=max_staleness, redis_retry_interval=0.02)
    succeed(breaker, 3)
    fail(breaker)

    promotion.promote()
    succeed(breaker, 2)
    fail(breaker)
    promotion.switch()
    wait_until_shared(breaker)

    wait_for_tallies(breaker, success=5, failure=2)
    assert SharedCircuit(promotion.replica).fields()["failed_calls"] == "2"


class SlowRedis:
    """A TCP proxy in the loop that delivers each reply a moment later."""

    def __init__(self, target: int, seconds: float) -> None:
        self._target = target
        self._seconds = seconds
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def __aenter__(self) -> SlowRedis:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_redis, to_redis = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, to_redis]
        await asyncio.gather(self._carry(reader, to_redis, 0), self._carry(from_redis, writer, self._seconds))

    async def _carry(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, seconds: float
    ) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                await asyncio.sleep(seconds)
                target.write(data)
        target.close()


def test_sb051_cancelled_admission_swaps_no_answers(redis_server: RedisServer, redis: Redis) -> None:
    """Admissions that are cancelled at any moment on one connection let no circuit answer for another."""
    luck = random.Random(51)
    settings: dict[str, Any] = {"redis_timeout": 5, "success_threshold": 1}

    async def work() -> str:
        return "done"

    async def whole() -> None:
        async with SlowRedis(redis_server.port, 0.002) as slow:
            pool = redis_asyncio.ConnectionPool(host="127.0.0.1", port=slow.port, max_connections=1)
            client = redis_asyncio.Redis(connection_pool=pool)
            is_open = AsyncCircuitBreaker(name="open", redis=client, **settings)
            is_closed = AsyncCircuitBreaker(name="closed", redis=client, **settings)
            await is_open.force_open()
            for _ in range(100):
                given_up = asyncio.ensure_future(is_open.call(work))
                answered = asyncio.ensure_future(is_closed.call(work))
                await asyncio.sleep(luck.uniform(0, 0.006))
                given_up.cancel()
                with pytest.raises((asyncio.CancelledError, CircuitBreakerError)):
                    await given_up
                assert await answered == "done"
            with pytest.raises(CircuitBreakerError):
                await is_open.call(work)
            assert (await is_closed.get_metrics())["redis_available"] is True
            await client.aclose()

    asyncio.run(whole())

    assert CircuitInRedis(redis, "closed").tallies()["successful_calls"] == 100
    assert CircuitInRedis(redis, "open").tallies()["successful_calls"] == 0


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[CuttingProxy]:
    with CuttingProxy(redis_server.port) as proxy:
        yield proxy


WAYS_IN: dict[str, Callable[[CuttingProxy], Any]] = {
    "client with its retries": lambda proxy: Redis(port=proxy.port),
    "client from a URL": lambda proxy: Redis.from_url(proxy.url),
    "asyncio client with its retries": lambda proxy: redis_asyncio.Redis(port=proxy.port),
    "URL": lambda proxy: proxy.url,
}


@pytest.fixture(params=list(WAYS_IN))
def way_in(request: pytest.FixtureRequest, proxy: CuttingProxy) -> Any:
    """A way to Redis over the proxy, as a user would give it."""
    return WAYS_IN[request.param](proxy)


@both_kinds
@strict_and_stale
def test_sb053_failure_whose_reply_is_lost_counts_once(
    redis: Redis, proxy: CuttingProxy, way_in: Any, max_staleness: float
) -> None:
    """With a threshold of 2 one failure whose reply is lost leaves the circuit closed, at one failure."""
    breaker = new_breaker(way_in, failure_threshold=2, max_staleness=max_staleness)
    succeed(breaker)
    proxy.lose_reply_to("refresh" if max_staleness else "report")

    fail(breaker)

    wait_until_shared(breaker)
    circuit = CircuitInRedis(redis)
    assert proxy.lost == 1
    assert circuit.numbers("failure_count", "failed_calls") == {"failure_count": 1, "failed_calls": 1}
    assert circuit.field("state") == "closed"


@both_kinds
def test_sb053_probe_whose_replies_are_lost_gets_in_and_closes(
    redis: Redis, proxy: CuttingProxy, way_in: Any
) -> None:
    """The only caller gets the probe though both replies are lost, and closes; each step is tallied once."""
    breaker = new_breaker(way_in, success_threshold=1)
    circuit = trip_and_wait(breaker, redis)
    proxy.lose_reply_to("admit")
    probe = HeldCall(breaker)
    assert probe.is_inside
    assert len(circuit.leases()) == 1
    proxy.lose_reply_to("report")

    probe.end()

    wait_until_shared(breaker)
    assert proxy.lost == 2
    assert (circuit.field("state"), circuit.leases()) == ("closed", {})
    assert circuit.transitions() == {"closed_to_open": 1, "open_to_half_open": 1, "half_open_to_closed": 1}
    assert circuit.number("successful_calls") == 1


@both_kinds
def test_sb053_trip_whose_reply_is_lost_is_one_transition(
    redis: Redis, proxy: CuttingProxy, way_in: Any
) -> None:
    """The failure that trips is told again where its reply was lost, and is one transition and one event."""
    breaker = new_breaker(way_in, failure_threshold=1)
    succeed(breaker)
    proxy.lose_reply_to("report")

    fail(breaker)

    wait_until_shared(breaker)
    circuit = CircuitInRedis(redis)
    assert circuit.transitions() == {"closed_to_open": 1}
    assert circuit.moves() == ["closed_to_open"]
    # What tells a repetition from a call goes with the lease: nothing of it stays.
    assert circuit.leases() == {}


def connections_named(redis: Redis, name: str) -> int:
    told: Any = redis.client_list()
    return len([one for one in told if one["name"] == name])


@both_kinds
@strict_and_stale
def test_sb054_calls_in_flight_hold_no_connections(
    redis_server: RedisServer, redis: Redis, breaker_kind: str, max_staleness: float
) -> None:
    """Fifty long calls at once run over a client of two connections, and never take more than two."""
    name = f"counted-{breaker_kind}-{max_staleness}"
    client = Redis.from_url(f"{redis_server.url}?client_name={name}&max_connections=2")
    breaker = new_breaker(client, max_staleness=max_staleness)
    everybody_inside = threading.Barrier(CALLS + 1)
    may_go = threading.Event()
    ends: list[str] = []

    def long_call() -> str:
        everybody_inside.wait(30)
        may_go.wait(30)
        return "done"

    threads = [threading.Thread(target=lambda: ends.append(breaker.call(long_call))) for _ in range(CALLS)]
    for thread in threads:
        thread.start()
    everybody_inside.wait(30)
    during = connections_named(redis, name)
    may_go.set()
    for thread in threads:
        thread.join(30)

    assert ends == ["done"] * CALLS
    assert 1 <= during <= 2
    assert connections_named(redis, name) <= 2
    metrics = breaker.get_metrics()
    assert metrics["successful_calls"] + metrics["unwritten_calls"] == CALLS
    assert not CircuitInRedis(redis).events()[1:]


@both_kinds
def test_sb054_pool_that_others_have_taken_is_none_of_ours(redis_server: RedisServer, redis: Redis) -> None:
    """Where other code holds every connection of the client's pool, the breaker still shares its circuit."""
    client = Redis.from_url(f"{redis_server.url}?max_connections=2")
    taken = [client.pubsub() for _ in range(2)]
    for subscriber in taken:
        subscriber.subscribe("somewhere")

    breaker = new_breaker(client)
    fail(breaker, 3)

    assert CircuitInRedis(redis).field("state") == "open"
    assert breaker.get_metrics()["redis_available"] is True
    for subscriber in taken:
        subscriber.close()
    client.close()


@both_kinds
def test_sb054_server_without_room_is_an_outage_that_ends() -> None:
    """At maxclients calls run by the local rules, and are on the shared books when there is room again."""
    with RedisServer() as server:
        admin = server.client(decode_responses=True)
        breaker = new_breaker(server.url, redis_timeout=5, redis_retry_interval=0.02)
        succeed(breaker)
        with at_maxclients(server, admin):
            succeed(breaker, 2)
            fail(breaker)
            assert breaker.get_metrics()["redis_available"] is False

        wait_until_shared(breaker)
        wait_for_tallies(breaker, success=3, failure=1)
        admin.close()
