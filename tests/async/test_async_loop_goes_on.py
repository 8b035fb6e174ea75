"""The loop goes on, whatever Redis does: nothing in it waits for a socket, a name or a thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from async_calls import ends_of, new_breaker, succeed, wait_until_settled, work
from redis import Redis

from circuit_in_redis import CircuitInRedis
from guarded_calls import ServiceDownError
from sharedbreaker import AsyncCircuitBreaker, Outcome
from sharedbreaker.demo.redis_server import RedisServer

TIMEOUT_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 1.7
"""Less than any wait for Redis, and more than a busy machine takes away from a process."""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that may be frozen and killed."""
    with RedisServer() as server:
        yield server


@contextlib.asynccontextmanager
async def heartbeat() -> AsyncIterator[None]:
    """Fail if the loop stands still for as long as a question may take."""
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - began)

    beating = asyncio.create_task(beat())
    yield
    await asyncio.sleep(0.03)
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    assert 0 < longest < LONGEST_PAUSE_SECONDS, f"the loop stood still for {longest} s"


def hang_names(monkeypatch: pytest.MonkeyPatch, let_go: threading.Event) -> None:
    def hangs(*_: Any, **__: Any) -> Any:
        let_go.wait(20)
        raise socket.gaierror(-3, "let go")

    monkeypatch.setattr(socket, "getaddrinfo", hangs)


async def everything(breaker: AsyncCircuitBreaker) -> None:
    """All that may be asked, at once and one after the other."""
    await asyncio.gather(*(succeed(breaker) for _ in range(20)))
    async with breaker:
        pass
    await breaker.report(await breaker.admit(), Outcome.FAILURE)
    await breaker.get_metrics()
    given_up = asyncio.create_task(breaker.call(work))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)


@pytest.mark.parametrize("trouble", ["none", "frozen", "killed", "hanging DNS"])
@pytest.mark.parametrize("staleness", [0, 0.05], ids=["strict", "stale"])
def test_loop_goes_on(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, trouble: str, staleness: float
) -> None:
    """A heartbeat in the same loop keeps its time while calls wait for a Redis that does not answer."""
    url = server.url.replace("127.0.0.1", "localhost") if "DNS" in trouble else server.url
    breaker = new_breaker(url, redis_timeout=TIMEOUT_SECONDS, failure_threshold=100, max_staleness=staleness)
    let_go = threading.Event()

    async def whole() -> None:
        if "DNS" in trouble:
            hang_names(monkeypatch, let_go)
        else:
            await everything(breaker)
        {"frozen": server.freeze, "killed": server.kill}.get(trouble, bool)()
        async with heartbeat():
            await everything(breaker)
        let_go.set()

    asyncio.run(whole())
    if trouble == "frozen":
        server.thaw()


def test_question_is_bounded_as_a_whole(server: RedisServer) -> None:
    """Calls at once in front of a frozen Redis run after one bounded wait, and the loss is told once."""
    told: list[bool] = []
    breaker = new_breaker(server.url, redis_timeout=0.2, redis_retry_interval=60, on_redis_change=told.append)

    async def whole() -> None:
        await succeed(breaker)
        server.freeze()
        began = time.monotonic()
        await asyncio.gather(*(succeed(breaker) for _ in range(20)))
        await succeed(breaker, 20)
        assert time.monotonic() - began < 10 * TIMEOUT_SECONDS
        assert (await breaker.get_metrics())["redis_available"] is False

    asyncio.run(whole())
    server.thaw()

    assert told == [False]


def test_answer_that_comes_with_its_deadline_is_taken(redis_server: RedisServer, redis: Redis) -> None:
    """A loop that was blocked for longer than a question may take leaves no closed connection in use."""
    breaker = new_breaker(redis_server.url, redis_timeout=0.1, redis_retry_interval=0.001)

    async def whole() -> None:
        await succeed(breaker)
        asking = [asyncio.create_task(breaker.get_state()) for _ in range(5)]
        for _ in range(3):
            await asyncio.sleep(0)
            time.sleep(0.15)  # noqa: ASYNC251 - somebody else's fault
        await asyncio.gather(*asking)
        link: Any = breaker._async_link
        (lane,) = link._lanes.values()
        assert all(held.connection.is_connected for held in lane.free)

    asyncio.run(whole())


@pytest.mark.parametrize("staleness", [0, 60], ids=["strict", "stale"])
def test_five_hundred_calls_at_once(redis_server: RedisServer, redis: Redis, staleness: float) -> None:
    """500 calls at once over 64 connections at most: every one runs, and every one counts once."""
    breaker = new_breaker(
        f"{redis_server.url}?client_name=many",
        failure_threshold=10_000,
        redis_timeout=20,
        max_staleness=staleness,
    )
    circuit = CircuitInRedis(redis)
    inside, most = 0, 0

    async def guarded(number: int) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        for _ in range(number % 7):
            await asyncio.sleep(0)
        inside -= 1
        if number % 5 == 0:
            raise ServiceDownError("503")

    async def whole() -> None:
        await succeed(breaker)
        calls = (breaker.call(guarded, number) for number in range(500))
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(end, ServiceDownError) for end in ends) == 100
        assert sum(end is None for end in ends) == 400
        listed: Any = redis.client_list()
        assert 1 <= sum(connection["name"] == "many" for connection in listed) <= 66

    asyncio.run(whole())
    wait_until_settled(breaker)
    breaker._store.settle_at_exit()

    assert most > 1
    assert ends_of(circuit) == {"successful_calls": 401, "failed_calls": 100}
    assert circuit.leases() == {}


def test_connections_that_are_killed_are_no_outage(redis_server: RedisServer, redis: Redis) -> None:
    """CLIENT KILL of all connections under the calls of many tasks fails no call and is no outage."""
    told: list[bool] = []
    breaker = new_breaker(redis_server.url, redis_timeout=20, on_redis_change=told.append)

    async def whole() -> None:
        for _ in range(5):
            await asyncio.gather(*(succeed(breaker, 2) for _ in range(20)))
            calls = [asyncio.create_task(succeed(breaker, 5)) for _ in range(20)]
            await asyncio.sleep(0.002)
            redis.client_kill_filter(_type="normal", skipme=True)
            await asyncio.gather(*calls)

    asyncio.run(whole())

    assert told == []
    assert ends_of(CircuitInRedis(redis)) == {"successful_calls": 5 * 20 * 7}


@pytest.mark.parametrize(
    "way", [lambda: "redis://:hunter2@127.0.0.1:1/0", lambda: "redis://u:hunter2@localhost:1"]
)
def test_secrets_are_shown_nowhere(way: Callable[[], str], caplog: pytest.LogCaptureFixture) -> None:
    """No log, error or repr of a breaker that cannot connect shows the password."""
    breaker = new_breaker(way())

    async def whole() -> str:
        await succeed(breaker)
        try:
            await breaker.force_open()
        except Exception as error:
            return f"{error}{error.__cause__!r}{error.__context__!r}{breaker!r}{await breaker.get_metrics()}"
        return ""

    with caplog.at_level("DEBUG"):
        shown = asyncio.run(whole())

    assert "orders" in shown
    assert "hunter2" not in shown + caplog.text
