"""What the other processes of the cases do on event loops. Run as ``tests/processes/worker.py`` is."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from worker_basics import ServiceDownError, counted, say, settings_of, wait_for_the_word

from sharedbreaker import AsyncCircuitBreaker, CircuitBreakerError


def async_breaker_of(url: str, **settings: Any) -> AsyncCircuitBreaker:
    return AsyncCircuitBreaker(redis=url, **settings_of(settings))


async def end_of(breaker: AsyncCircuitBreaker, work: Callable[[], Awaitable[object]]) -> str:
    """How a call ended for its caller."""
    try:
        await breaker.call(work)
    except CircuitBreakerError as error:
        return f"rejected_{error.state}"
    except ServiceDownError:
        return "failure"
    return "success"


def call_in_tasks(url: str, upstream_url: str, *, tasks: int, **settings: Any) -> list[str]:
    """Call at once from many tasks a service that counts its callers and holds them until it is told."""
    breaker = async_breaker_of(url, **settings)
    wait_for_the_word()

    async def call_all() -> list[str]:
        async with Redis.from_url(upstream_url) as upstream:

            async def service() -> None:
                await upstream.incr("inside")
                await upstream.blpop(["let_go"], 60)

            async def caller() -> str:
                end = await end_of(breaker, service)
                await upstream.incr(end)
                return end

            return await asyncio.gather(*(caller() for _ in range(tasks)))

    return asyncio.run(call_all())


def stay_inside_a_task(url: str, **settings: Any) -> str:
    """Enter a call on an event loop and say so; leave it at a word."""

    async def work() -> None:
        say("inside")
        await asyncio.to_thread(sys.stdin.readline)

    async def call() -> str:
        return await end_of(async_breaker_of(url, **settings), work)

    return asyncio.run(call())


def fail_in_tasks(url: str, *, tasks: int, times: int, **settings: Any) -> dict[str, int]:
    """Every call fails, from many tasks at once."""
    breaker = async_breaker_of(url, **settings)
    wait_for_the_word()

    async def service_down() -> None:
        raise ServiceDownError("503")

    async def caller() -> list[str]:
        return [await end_of(breaker, service_down) for _ in range(times)]

    async def call_all() -> list[str]:
        return [end for ends in await asyncio.gather(*(caller() for _ in range(tasks))) for end in ends]

    return counted(asyncio.run(call_all()))


TASKS: dict[str, Callable[..., Any]] = {
    task.__name__: task for task in (call_in_tasks, stay_inside_a_task, fail_in_tasks)
}

if __name__ == "__main__":
    say(json.dumps(TASKS[sys.argv[1]](**json.loads(sys.argv[2]))))
