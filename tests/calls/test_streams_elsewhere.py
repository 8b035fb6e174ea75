"""Streams where Redis is not asked, or answers no more, and in processes that fork and that end."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from counted import PATIENCE_SECONDS, assert_counts, new_async_breaker, new_breaker
from redis import Redis

from guarded_calls import ServiceDownError
from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker
from sharedbreaker.demo.redis_server import RedisServer

STALENESS = 0.2


def pieces() -> Iterator[int]:
    yield 1
    yield 2


def breaks() -> Iterator[int]:
    yield 1
    raise ServiceDownError


def returns_pieces() -> Iterator[int]:
    return pieces()


async def async_pieces() -> AsyncIterator[int]:
    yield 1
    yield 2


async def async_breaks() -> AsyncIterator[int]:
    yield 1
    raise ServiceDownError


def two_of_each_end(breaker: CircuitBreaker) -> None:
    """End streams in every way, each way twice, many of them open at once."""
    streams: list[Any] = [breaker.call(ask) for ask in (pieces, returns_pieces)]
    failing: list[Any] = [breaker.call(breaks) for _ in range(2)]
    closed: list[Any] = [breaker.call(ask) for ask in (pieces, returns_pieces)]
    dropped: list[Any] = [breaker.call(pieces) for _ in range(2)]
    for stream in (*streams, *failing, *closed, *dropped):
        assert next(stream) == 1
    del stream
    for stream in failing:
        with pytest.raises(ServiceDownError):
            next(stream)
    for stream in streams:
        assert list(stream) == [2]
    for stream in closed:
        stream.close()
    dropped.clear()
    gc.collect()


async def two_of_each_async_end(breaker: AsyncCircuitBreaker) -> None:
    streams = [breaker.call(async_pieces) for _ in range(2)]
    failing = [breaker.call(async_breaks) for _ in range(2)]
    closed: list[Any] = [breaker.call(async_pieces) for _ in range(2)]
    dropped = [breaker.call(async_pieces) for _ in range(2)]
    for stream in (*streams, *failing, *closed, *dropped):
        assert await anext(stream) == 1
    del stream
    for stream in failing:
        with pytest.raises(ServiceDownError):
            await anext(stream)
    for stream in streams:
        assert [piece async for piece in stream] == [2]
    for stream in closed:
        await stream.aclose()
    dropped.clear()
    gc.collect()


SETTINGS = pytest.mark.parametrize("settings", [{}, {"max_staleness": STALENESS}], ids=["asking", "stale"])


@SETTINGS
def test_streams_count_once(redis: Redis, settings: dict[str, Any]) -> None:
    """Each end of a stream counts once, whether Redis admitted it or this process on its view."""
    breaker = new_breaker(redis, **settings)
    breaker.call(str)

    two_of_each_end(breaker)

    assert_counts(redis, success=3, failure=2, released=4)


@SETTINGS
def test_async_streams_count_once(redis: Redis, settings: dict[str, Any]) -> None:
    """The same of async streams."""

    async def run() -> None:
        await two_of_each_async_end(new_async_breaker(redis, **settings))

    asyncio.run(run())

    assert_counts(redis, success=2, failure=2, released=4)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that may be stopped."""
    with RedisServer() as server:
        yield server


def restarted(server: RedisServer) -> Redis:
    server.start()
    return server.client(decode_responses=True)


@pytest.mark.parametrize("first", [True, False], ids=["away from the first on", "known before"])
def test_streams_without_redis_count_once(server: RedisServer, *, first: bool) -> None:
    """What began and ended while Redis was away is in its books when it answers again, each call once."""
    breaker = new_breaker(server.url, redis_retry_interval=0.05)
    if not first:
        breaker.call(str)
    server.stop()

    two_of_each_end(breaker)
    asyncio.run(two_of_each_async_end(new_async_breaker(server.url, redis_retry_interval=0.05, name="async")))

    client = restarted(server)
    until_redis_answers(breaker)
    assert_counts(client, success=3, failure=2, released=4)
    client.close()


def until_redis_answers(breaker: CircuitBreaker) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not breaker.get_metrics()["redis_available"]:
        assert time.monotonic() < deadline, "this process has not found Redis again"
        time.sleep(0.005)
    breaker.call(str)


def test_stream_that_begins_with_redis_and_ends_without(server: RedisServer) -> None:
    """A stream that Redis admitted, and that ends while Redis is away, counts once when it is back."""
    breaker = new_breaker(server.url, redis_retry_interval=0.05, redis_timeout=0.2)
    read, closed, dropped = (breaker.call(pieces) for _ in range(3))
    for stream in (read, closed, dropped):
        next(stream)
    del stream
    server.freeze()
    list(read)
    closed.close()  # type: ignore[attr-defined]
    del dropped
    gc.collect()
    server.thaw()
    until_redis_answers(breaker)

    client = server.client(decode_responses=True)
    assert_counts(client, success=2, released=2)
    client.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_child_does_not_end_its_parents_stream(redis_server: RedisServer, redis: Redis) -> None:
    """A child that drops its copy of an open stream leaves the call to its parent, and drops its own."""
    done = run_script(FORKS, redis_server.url)

    assert (done.returncode, done.stderr) == (0, "")
    assert_counts(redis, success=1, released=1)


FORKS = """
import gc, os, sys
from sharedbreaker import CircuitBreaker
breaker = CircuitBreaker(name="orders", redis=sys.argv[1])

def pieces():
    yield 1
    yield 2

stream = breaker.call(pieces)
next(stream)
child = os.fork()
if not child:
    del stream
    own = breaker.call(pieces)
    next(own)
    del own
    gc.collect()
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
assert breaker.snapshot().calls_in_flight == 1, breaker.snapshot()
list(stream)
"""


@pytest.mark.parametrize("how", ["kept", "dropped", "block"])
def test_process_that_ends_with_open_streams_ends_quietly(
    redis_server: RedisServer, redis: Redis, how: str
) -> None:
    """A process leaves at once and without a word; what it dropped before is released, never a failure."""
    done = run_script(LEAVES, redis_server.url, how)

    assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\n", "")
    if how == "dropped":
        assert_counts(redis, success=1, released=50)
    assert redis.hget("sharedbreaker:{orders}", "failed_calls") == "0"


LEAVES = """
import contextlib, sys
from sharedbreaker import CircuitBreaker
breaker = CircuitBreaker(name="orders", redis=sys.argv[1])

def pieces():
    yield 1
    yield 2

breaker.call(str)
if sys.argv[2] == "block":
    block = breaker.call(contextlib.contextmanager(pieces))
    block.__enter__()
else:
    streams = [breaker.call(pieces) for _ in range(50)]
    for stream in streams:
        next(stream)
    if sys.argv[2] == "dropped":
        del stream, streams
print("leaving")
"""


def run_script(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
