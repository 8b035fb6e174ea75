"""Calls that are given up by the clock, or at any moment at all, and while they wait for a connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from async_calls import (
    Phase,
    ends_of,
    hold,
    new_breaker,
    service_down,
    succeed,
    wait_until_settled,
    work,
)
from redis import Redis

from circuit_in_redis import CircuitInRedis
from sharedbreaker import AsyncCircuitBreaker
from sharedbreaker.demo.redis_server import RedisServer


def test_many_cancelled_at_random_moments(redis_server: RedisServer, redis: Redis) -> None:
    """Of hundreds of calls that are cancelled after any number of turns, each counts as it ended."""
    breaker = new_breaker(redis_server.url, failure_threshold=10_000)
    circuit = CircuitInRedis(redis)
    phases = [Phase(fails=number % 3 == 0) for number in range(300)]

    async def cancel_after(task: asyncio.Task[str], turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()

    async def whole() -> None:
        await succeed(breaker)
        for start in range(0, len(phases), 50):
            batch = phases[start : start + 50]
            tasks = [asyncio.create_task(breaker.call(phase.guarded)) for phase in batch]
            cancels = [cancel_after(task, number % 37) for number, task in enumerate(tasks)]
            await asyncio.gather(*cancels)
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(wait_until_settled, breaker)

    asyncio.run(whole())

    tallies = ends_of(circuit)
    ended = [phase for phase in phases if phase.now == "report"]
    failed = sum(phase._work is service_down for phase in ended)
    assert tallies["failed_calls"] == failed
    assert tallies["successful_calls"] == 1 + len(ended) - failed
    assert tallies["released_calls"] >= sum(phase.now == "call" for phase in phases)
    assert set(tallies) == {"failed_calls", "successful_calls", "released_calls"}
    assert circuit.leases() == {}


def test_timeout_of_the_caller_releases_the_call(redis_server: RedisServer, redis: Redis) -> None:
    """A call that its caller waits for no longer than asyncio.wait_for allows is released."""
    breaker = new_breaker(redis_server.url)
    circuit = CircuitInRedis(redis)

    async def whole() -> None:
        await succeed(breaker)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(breaker.call(hold), 0.05)
        await asyncio.to_thread(wait_until_settled, breaker)

    asyncio.run(whole())

    assert ends_of(circuit) == {"successful_calls": 1, "released_calls": 1}
    assert circuit.leases() == {}


def test_timeout_inside_the_call_is_its_failure(redis_server: RedisServer, redis: Redis) -> None:
    """A call that itself waits no longer than asyncio.wait_for allows has failed."""
    breaker = new_breaker(redis_server.url, expected_exception=asyncio.TimeoutError)

    async def impatient() -> None:
        await asyncio.wait_for(hold(), 0.01)

    async def whole() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await breaker.call(impatient)

    asyncio.run(whole())

    assert ends_of(CircuitInRedis(redis)) == {"failed_calls": 1}


def test_cancelled_while_it_waits_for_a_connection(redis_server: RedisServer, redis: Redis) -> None:
    """Calls that are cancelled in the queue for a connection give nobody's place away, and take none."""
    breaker = new_breaker(f"{redis_server.url}?max_connections=2")
    circuit = CircuitInRedis(redis)

    async def whole() -> None:
        await succeed(breaker)
        for turns in range(12):
            tasks = [asyncio.create_task(breaker.call(work)) for _ in range(20)]
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(succeed(breaker, 3) for _ in range(10)))
        await asyncio.to_thread(wait_until_settled, breaker)
        assert places_of(breaker) == [2]

    asyncio.run(whole())

    tallies = ends_of(circuit)
    assert tallies["successful_calls"] >= 31
    assert circuit.leases() == {}


def places_of(breaker: AsyncCircuitBreaker) -> list[int]:
    """How many questions may be asked at this moment, for each loop."""
    link: Any = breaker._async_link
    return [lane.places._value for lane in link._lanes.values()]
