"""Event loops come and go: one after the other, side by side, closed properly, badly or not at all."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
import weakref
from collections.abc import Coroutine, Iterator
from typing import Any

import anyio
import pytest
from async_calls import ends_of, hold, new_breaker, succeed, wait_until, wait_until_settled, work
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from circuit_in_redis import CircuitInRedis
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.store import async_lane

CLIENT_NAME = "counted"


@pytest.fixture(autouse=True)
def nothing_is_left_to_the_collector() -> Iterator[None]:
    """What nobody closed warns when it is collected, which is an error here."""
    yield
    gc.collect()


def kept_loops() -> set[asyncio.AbstractEventLoop]:
    return set(async_lane._kept)


def connections_of(redis: Redis) -> int:
    listed: Any = redis.client_list()
    return len([connection for connection in listed if connection["name"] == CLIENT_NAME])


def counted_url(server: RedisServer) -> str:
    return f"{server.url}?client_name={CLIENT_NAME}"


def test_one_loop_after_the_other(redis_server: RedisServer, redis: Redis) -> None:
    """A breaker serves asyncio.run after asyncio.run; each loop's connections end with it."""
    breaker = new_breaker(counted_url(redis_server))
    link: Any = breaker._async_link
    loops = []

    async def call() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await asyncio.gather(*(succeed(breaker) for _ in range(3)))

    of_others = kept_loops()
    for _ in range(20):
        asyncio.run(call())
        assert kept_loops() <= of_others

    assert ends_of(CircuitInRedis(redis)) == {"successful_calls": 60}
    wait_until(lambda: connections_of(redis) == 0, "all connections are closed")
    asyncio.run(call())
    gc.collect()
    assert len(link._lanes) == 1
    assert sum(loop() is not None for loop in loops) <= 1


def test_loops_side_by_side(redis_server: RedisServer, redis: Redis) -> None:
    """Two loops in two threads use one breaker at once, and every call counts."""
    breaker = new_breaker(redis_server.url, failure_threshold=1000)
    both_run = threading.Barrier(2)
    errors: list[BaseException] = []

    async def calls() -> None:
        both_run.wait(20)
        for _ in range(10):
            await asyncio.gather(*(succeed(breaker, 2) for _ in range(10)))

    def run() -> None:
        try:
            asyncio.run(calls())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert ends_of(CircuitInRedis(redis)) == {"successful_calls": 400}
    assert CircuitInRedis(redis).leases() == {}


def run_and_close(coroutine: Coroutine[Any, Any, Any]) -> None:
    """As old code does: a loop that is closed, and not shut down."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(coroutine)
    loop.close()


def test_loop_that_is_closed_without_a_shutdown(redis_server: RedisServer, redis: Redis) -> None:
    """Loops that are only closed leave no more than the last one's connections, and no ResourceWarning."""
    breaker = new_breaker(counted_url(redis_server))
    link: Any = breaker._async_link

    of_others = kept_loops()
    for _ in range(10):
        run_and_close(asyncio.wait_for(succeed(breaker), 20))
        assert len(link._lanes) == 1
        assert len(kept_loops() - of_others) == 1
        wait_until(lambda: connections_of(redis) <= 1, "the loops before left no connection")
    asyncio.run(succeed(breaker))
    gc.collect()

    assert ends_of(CircuitInRedis(redis)) == {"successful_calls": 11}
    assert kept_loops() <= of_others


@pytest.mark.parametrize("turns", range(1, 13))
def test_call_whose_loop_is_gone(redis_server: RedisServer, redis: Redis, turns: int) -> None:
    """A call that stands anywhere when its loop is closed is released when it is collected, and not run."""
    breaker = new_breaker(redis_server.url)
    circuit = CircuitInRedis(redis)
    runs: list[int] = []

    async def guarded() -> None:
        runs.append(1)
        await hold()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(succeed(breaker))
    coroutine = breaker.call(guarded)
    stepped = stepped_through(coroutine)
    task = loop.create_task(stepped)
    for _ in range(turns):
        loop.run_until_complete(asyncio.sleep(0))
    runs_before = len(runs)
    loop.close()
    setattr(task, "_log_destroy_pending", False)  # noqa: B010 - it is what is wanted here

    coroutine.close()
    del task, stepped, coroutine
    gc.collect()

    wait_until_settled(breaker)
    assert len(runs) == runs_before
    assert circuit.leases() == {}
    asyncio.run(succeed(breaker))
    tallies = ends_of(circuit)
    assert tallies.pop("successful_calls") == 2
    assert tallies in ({}, {"released_calls": 1})


async def stepped_through(coroutine: Coroutine[Any, Any, Any]) -> None:
    await coroutine


def test_breaker_that_ends_before_its_loop(redis_server: RedisServer, redis: Redis) -> None:
    """A client and a breaker that are made for one moment leave no connection in a loop that goes on."""

    async def one() -> None:
        client = AsyncRedis(port=redis_server.port, client_name=CLIENT_NAME)
        await succeed(new_breaker(client))
        await client.aclose()

    async def whole() -> None:
        for _ in range(5):
            await one()
        for _ in range(200):
            gc.collect()
            await asyncio.sleep(0.005)
            if connections_of(redis) == 0:
                return
        raise AssertionError("connections stay open")

    asyncio.run(whole())


def test_breakers_of_one_url_share_their_connections(redis_server: RedisServer, redis: Redis) -> None:
    """A hundred circuits at one URL do not open a connection each."""

    async def whole() -> None:
        for number in range(100):
            await succeed(new_breaker(counted_url(redis_server), name=f"circuit{number}"))
        assert connections_of(redis) == 1

    asyncio.run(whole())


def test_breaker_is_made_without_a_loop(redis_server: RedisServer, redis: Redis) -> None:
    """Creating one, its repr and its name need no loop; used without one it is an ordinary coroutine."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        breaker = new_breaker(redis_server.url)

    assert repr(breaker) == "AsyncCircuitBreaker(name='orders')"
    with pytest.raises(StopIteration):
        # Nothing is answered where no loop runs: the call is decided here, and runs.
        breaker.call(immediately).send(None)


async def immediately() -> str:
    return "done"


async def be_late_for(scope: anyio.CancelScope) -> None:
    scope.deadline = anyio.current_time()
    await anyio.sleep_forever()


@pytest.mark.parametrize("backend", ["asyncio", "asyncio+uvloop"])
def test_anyio_runs_it(redis_server: RedisServer, redis: Redis, backend: str) -> None:
    """Under anyio, also with uvloop, calls count; a cancel scope and a deadline release what they end."""
    if backend == "asyncio+uvloop":
        pytest.importorskip("uvloop")
    breaker = new_breaker(redis_server.url)
    circuit = CircuitInRedis(redis)

    async def whole() -> None:
        await succeed(breaker)
        with anyio.move_on_after(20) as scope:
            await breaker.call(be_late_for, scope)
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError):  # noqa: PT012 - the deadline is inside
            with anyio.fail_after(20) as scope:
                async with breaker:
                    await be_late_for(scope)
        async with anyio.create_task_group() as group:
            inside = [asyncio.Event() for _ in range(5)]
            for event in inside:
                group.start_soon(breaker.call, hold, event)
            for event in inside:
                await event.wait()
            group.cancel_scope.cancel()
        with anyio.CancelScope() as cancelled:
            cancelled.cancel()
            await breaker.call(work)  # cancelled again and again, at whatever it awaits
        with anyio.CancelScope(shield=True):
            await succeed(breaker)

    anyio.run(whole, backend="asyncio", backend_options={"use_uvloop": "uvloop" in backend})
    wait_until_settled(breaker)

    tallies = ends_of(circuit)
    assert tallies.pop("successful_calls") == 2
    assert tallies.pop("released_calls") in {7, 8}
    assert tallies == {}
    assert circuit.leases() == {}


def test_uvloop_runs_it(redis_server: RedisServer, redis: Redis) -> None:
    """Uvloop's loops serve as well, one after the other, and leave nothing behind."""
    uvloop = pytest.importorskip("uvloop")
    breaker = new_breaker(counted_url(redis_server))

    for _ in range(3):
        loop = uvloop.new_event_loop()
        loop.run_until_complete(asyncio.wait_for(succeed(breaker, 5), 20))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    assert ends_of(CircuitInRedis(redis)) == {"successful_calls": 15}
    wait_until(lambda: connections_of(redis) == 0, "all connections are closed")
