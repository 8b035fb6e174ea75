"""What docs/coming-from/purgatory.md says of coroutines and of purgatory's Redis, with both at work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import purgatory
import pytest
import redis as redis_py
from coming_from_page import PEERS_DB, ComingFromPage, Shop, peers_redis
from redis import Redis

from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, CircuitBreakerError, circuit_breaker
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.testing import end_open_period, trip

NOWHERE = "redis://127.0.0.1:1"


@pytest.fixture
def their_url(redis_server: RedisServer) -> Iterator[str]:
    client = peers_redis(redis_server)
    yield f"redis://127.0.0.1:{redis_server.port}/{PEERS_DB}"
    client.flushdb()
    client.close()


@asynccontextmanager
async def in_their_redis(url: str, **settings: Any) -> AsyncIterator[Any]:
    """A factory as one worker makes it."""
    uow = purgatory.AsyncRedisUnitOfWork(url)
    try:
        yield purgatory.AsyncCircuitBreakerFactory(uow=uow, **settings)
    finally:
        await uow.contexts.redis.aclose()


def test_before_and_after_async(redis_server: RedisServer, redis: Redis, their_url: str) -> None:
    """So do both pieces of async code, each in Redis."""
    for which in ("before, async", "after, async"):
        shop = Shop()
        names = ComingFromPage("purgatory").run(which, redis_server, ask_shop=shop.ask_async)

        async def life(names: dict[str, Any] = names, shop: Shop = shop) -> list[str]:
            became = [await names["label"]("tea")]
            shop.is_down = True
            for _ in range(3):
                with pytest.raises(ConnectionError):
                    await names["label"]("tea")
            became.append(await names["label"]("tea"))
            if "breakers" in names:
                await names["breakers"].uow.contexts.redis.aclose()
            return became

        assert asyncio.run(life()) == ["3 EUR", "ask us"]
        assert shop.asked == 4


def test_giving_up_is_no_failure(redis: Redis) -> None:
    """A client that leaves is a failure to purgatory; ours releases the call."""

    async def give_up(guarded: Callable[..., Coroutine[Any, Any, None]]) -> None:
        is_under_way = asyncio.Event()
        task = asyncio.create_task(guarded(is_under_way))
        await is_under_way.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def ask(is_under_way: asyncio.Event) -> None:
        is_under_way.set()
        await asyncio.sleep(60)

    async def their_life() -> str:
        factory = purgatory.AsyncCircuitBreakerFactory(default_threshold=1)
        await give_up(factory("orders")(ask))
        return str((await factory.get_breaker("orders")).context.state)

    async def our_life() -> tuple[str, int]:
        ours = AsyncCircuitBreaker(1, name="orders", redis=redis)
        await give_up(circuit_breaker(ours)(ask))
        ours._store.settle_at_exit()
        seen = await ours.get_metrics()
        return seen["state"], seen["released_calls"]

    assert asyncio.run(their_life()) == "opened"
    assert asyncio.run(our_life()) == ("closed", 1)


def test_a_deploy_changes_the_settings(redis: Redis, their_url: str) -> None:
    """Whoever came first has set the threshold in purgatory's Redis; in ours the last deploy has."""

    async def their_life() -> tuple[int, int]:
        async with in_their_redis(their_url) as old, in_their_redis(their_url) as new:
            first = await old.get_breaker("orders", threshold=3)
            second = await new.get_breaker("orders", threshold=50)
            return first.context.threshold, second.context.threshold

    assert asyncio.run(their_life()) == (3, 3)
    for threshold in (3, 50):
        ours = CircuitBreaker(threshold, name="orders", redis=redis)
        ours.call(len, "tea")
    assert ours.get_metrics()["failure_threshold"] == 50


def test_few_probes_at_once(redis: Redis, their_url: str) -> None:
    """While one worker's probe is under way, purgatory lets in everybody's; ours as many as you say."""

    async def their_life() -> int:
        async with in_their_redis(their_url, default_threshold=1, default_ttl=0.001) as factory:
            with suppress(ConnectionError):
                async with await factory.get_breaker("orders"):
                    raise ConnectionError
            await asyncio.sleep(0.01)
            probes = 0
            blocks = [await factory.get_breaker("orders") for _ in range(5)]
            for block in blocks:
                await block.__aenter__()
                probes += 1
            for block in blocks:
                await block.__aexit__(None, None, None)
            return probes

    assert asyncio.run(their_life()) == 5
    ours = [CircuitBreaker(1, name="orders", redis=redis, half_open_max_calls=1) for _ in range(2)]
    trip(ours[0])
    end_open_period(ours[0])
    with ours[0], pytest.raises(CircuitBreakerError) as caught, ours[1]:
        pass
    assert caught.value.why == "probes_busy"


def test_redis_never_makes_a_call_fail(redis: Redis) -> None:
    """Without Redis every call under purgatory fails with Redis' error; under ours it is made."""

    async def ask() -> str:
        return "tea"

    async def their_life() -> None:
        async with in_their_redis(NOWHERE) as factory:
            await factory("orders")(ask)()

    with pytest.raises(redis_py.ConnectionError):
        asyncio.run(their_life())
    ours = AsyncCircuitBreaker(name="orders", redis=NOWHERE)
    assert asyncio.run(circuit_breaker(ours)(ask)()) == "tea"
