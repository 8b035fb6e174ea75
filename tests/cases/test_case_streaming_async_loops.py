"""Cases SB-050 and SB-056: one breaker object and several event loops, and a loop that must not wait."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis.asyncio as redis_asyncio
from async_calls import new_breaker, succeed, work
from case_loop_let_go import WaitingRedis
from case_variants import strict_and_stale
from fastapi import FastAPI
from flask import Flask
from redis import Redis

from circuit_in_redis import NAME, CircuitInRedis
from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.asgi import RejectionMiddleware
from sharedbreaker.integrations.web import BreakerSite
from sharedbreaker.integrations.web.asgi import BreakerApp

PATIENCE = 20
WAIT_SECONDS = 5
GIVEN = ("URL", "asyncio client", "client")


def given(way: str, port: int, client_name: str) -> Any:
    """What a breaker is given to find Redis by. Its connections go by the name."""
    if way == "URL":
        return f"redis://127.0.0.1:{port}/0?client_name={client_name}"
    kind = redis_asyncio.Redis if way == "asyncio client" else Redis
    return kind(port=port, client_name=client_name)


def connections_of(redis: Redis, client_name: str) -> int:
    told: Any = redis.client_list()
    return len([one for one in told if one["name"] == client_name])


@pytest.fixture
def nothing_is_left_to_the_collector() -> Iterator[None]:
    """What a loop left unclosed is a warning when it is collected, and so an error here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what tests before this one left
        gc.collect()
    yield
    gc.collect()


@strict_and_stale
@pytest.mark.parametrize("way", GIVEN)
@pytest.mark.usefixtures("nothing_is_left_to_the_collector")
def test_sb050_one_run_after_the_other(
    redis_server: RedisServer, redis: Redis, way: str, max_staleness: float
) -> None:
    """Three times asyncio.run over one breaker: all calls are made and counted, no connection is left."""
    name = f"one-after-another-{max_staleness}"
    breaker = new_breaker(given(way, redis_server.port, name), max_staleness=max_staleness)

    for _ in range(3):
        asyncio.run(succeed(breaker, 3))
        assert connections_of(redis, name) <= 1 + bool(max_staleness)

    seen = asyncio.run(breaker.get_metrics())
    assert seen["redis_available"] is True
    assert seen["successful_calls"] + seen["unwritten_calls"] == 9


def test_sb050_client_of_another_loop_is_no_obstacle(redis_server: RedisServer, redis: Redis) -> None:
    """A client whose connections belong to another loop leads the breaker to its Redis all the same."""
    client = given("asyncio client", redis_server.port, "of-another-loop")
    another_loop = asyncio.new_event_loop()
    another_loop.run_until_complete(client.ping())
    breaker = new_breaker(client)

    asyncio.run(succeed(breaker))
    another_loop.run_until_complete(succeed(breaker))

    assert CircuitInRedis(redis).number("successful_calls") == 2
    assert another_loop.run_until_complete(client.ping()) is True
    another_loop.run_until_complete(client.aclose())
    another_loop.run_until_complete(another_loop.shutdown_asyncgens())
    another_loop.close()


@strict_and_stale
def test_sb050_loops_in_threads_beside_the_sync_breaker(
    redis_server: RedisServer, redis: Redis, max_staleness: float
) -> None:
    """Two threads with loops of their own and a third without one share a circuit, all at once."""
    url = f"{redis_server.url}?client_name=side-by-side-{max_staleness}"
    breaker = new_breaker(url, max_staleness=max_staleness)
    beside = CircuitBreaker(name=NAME, redis=url, redis_timeout=5, max_staleness=max_staleness)
    everybody = threading.Barrier(3)

    async def many() -> int:
        everybody.wait(PATIENCE)
        return len(await asyncio.gather(*(breaker.call(work) for _ in range(20))))

    def many_without() -> int:
        everybody.wait(PATIENCE)
        return len([beside.call(int) for _ in range(20)])

    with ThreadPoolExecutor(3) as pool:
        loops = [pool.submit(asyncio.run, many()) for _ in range(2)]
        made = pool.submit(many_without).result(PATIENCE) + sum(loop.result(PATIENCE) for loop in loops)

    assert made == 60
    seen = (asyncio.run(breaker.get_metrics()), beside.get_metrics())
    assert seen[1]["successful_calls"] + sum(one["unwritten_calls"] for one in seen) == 60


def test_sb050_flask_view_with_a_loop_of_its_own(redis_server: RedisServer, redis: Redis) -> None:
    """A view that runs a loop for each request, as Flask does for its async views, calls each time."""
    breaker = new_breaker(redis_server.url)
    app = Flask(__name__)

    @app.get("/")
    def view() -> str:
        return asyncio.run(breaker.call(work))

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: app.test_client().get("/").text, range(12)))

    assert answers == ["done"] * 12
    assert CircuitInRedis(redis).number("successful_calls") == 12


@pytest.fixture
def waiting(redis_server: RedisServer, redis: Redis) -> Iterator[WaitingRedis]:
    with WaitingRedis(redis_server.port) as waiting:
        yield waiting


async def in_a_block(breaker: AsyncCircuitBreaker) -> None:
    async with breaker:
        await asyncio.sleep(0)


QUESTIONS: dict[str, Callable[[AsyncCircuitBreaker], Awaitable[Any]]] = {
    "call": lambda breaker: breaker.call(work),
    "block": in_a_block,
    "admit": lambda breaker: breaker.admit(),
    "get_metrics": lambda breaker: breaker.get_metrics(),
    "get_state": lambda breaker: breaker.get_state(),
    "snapshot": lambda breaker: breaker.snapshot(),
    "export": lambda breaker: breaker.export_prometheus_metrics(),
    "force_close": lambda breaker: breaker.force_close(),
}


@strict_and_stale
@pytest.mark.parametrize("is_warm", [True, False], ids=["warm", "cold"])
@pytest.mark.parametrize("question", list(QUESTIONS))
def test_sb056_loop_goes_on_while_redis_is_waited_for(
    waiting: WaitingRedis, question: str, max_staleness: float, *, is_warm: bool
) -> None:
    """Whatever the breaker is asked, the loop goes on until Redis answers, which waits for its beats."""

    async def whole() -> dict[str, Any]:
        breaker = new_breaker(waiting.url, max_staleness=max_staleness, redis_timeout=WAIT_SECONDS)
        if is_warm:
            await succeed(breaker)
        await waiting.answered(QUESTIONS[question](breaker))
        return await breaker.get_metrics()

    assert asyncio.run(whole())["redis_available"] is True
    assert waiting.held.is_set() or (max_staleness and is_warm)


PATHS = ("/metrics", "/api/health", "/api/health/ready", "/api/circuit-breakers/metrics")


async def get(app: Any, path: str) -> tuple[int, bytes]:
    """Ask an ASGI app as a server in this loop does; return the status and the body."""
    sent: list[dict[str, Any]] = []
    scope: dict[str, Any] = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1"}
    scope |= {"method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": []}
    scope |= {"root_path": "", "scheme": "http"}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize("path", [*PATHS, "/guarded", "/figures"])
def test_sb056_loop_of_an_app_goes_on_while_redis_is_waited_for(waiting: WaitingRedis, path: str) -> None:
    """Guarded views, middleware, metrics and health of a FastAPI app leave the loop free meanwhile."""

    async def whole() -> None:
        breaker = new_breaker(waiting.url, redis_timeout=WAIT_SECONDS)
        app = FastAPI()
        app.add_middleware(RejectionMiddleware)

        @app.get("/guarded")
        async def guarded() -> str:
            return await breaker.call(work)

        @app.get("/figures")
        async def figures() -> dict[str, Any]:
            return await breaker.get_metrics()

        site = BreakerSite([breaker], redis=waiting.url, timeout=WAIT_SECONDS)
        app.mount("/", BreakerApp(site))
        await succeed(breaker)

        status, body = await waiting.answered(get(app, path))

        assert status == 200, body
        if path == "/figures":
            assert json.loads(body)["redis_available"] is True
        await breaker.force_open()
        status, body = await waiting.answered(get(app, "/guarded"))
        assert (status, json.loads(body)["breaker"]) == (503, NAME)

    asyncio.run(whole())
    assert waiting.held.is_set()
