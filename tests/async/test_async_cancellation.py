"""Given up at every point where it waits: no lease stays, no tally is wrong, no answer goes astray."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from async_calls import (
    Phase,
    ends_of,
    fail,
    new_breaker,
    succeed,
    wait_until_settled,
    work,
)
from redis import Redis
from suspensions import Closed, Suspended, cancel, cancel_late, close

from circuit_in_redis import CircuitInRedis
from guarded_calls import ServiceDownError
from sharedbreaker import Outcome
from sharedbreaker.demo.redis_server import RedisServer

# asyncio itself cannot have a coroutine closed that is connecting: see test_async_loops for what is left when
# a loop has ended. So what is closed here is warm.
WAYS = [cancel, cancel_late, close]
GIVEN_UP = (asyncio.CancelledError, Closed)
MOST_PLACES = 100


def suspended_at(place: int, way: Callable[[Any], None], awaitable: Awaitable[Any]) -> Suspended:
    return Suspended(awaitable, place, way)


async def give_up_everywhere(
    way: Callable[[Any], None], once: Callable[[int, Callable[[Awaitable[Any]], Suspended]], Awaitable[bool]]
) -> None:
    """Have ``once`` run something that is given up at its first, second, ... suspension."""
    for place in range(1, MOST_PLACES):
        if await once(place, partial(suspended_at, place, way)):
            assert place > 1, "it never waited"
            return
    raise AssertionError("it never came to its end")


async def is_given_up(suspended: Suspended) -> bool:
    """Whether it was, as a task of its own."""

    async def whole() -> None:
        await suspended

    try:
        await asyncio.create_task(whole())
    except GIVEN_UP:
        return True
    except ServiceDownError:
        return False
    return False


@pytest.fixture(params=[0, 60], ids=["strict", "stale"])
def staleness(request: pytest.FixtureRequest) -> float:
    seconds: float = request.param
    return seconds


@pytest.mark.parametrize(
    ("is_warm", "way"),
    [(False, cancel), (False, cancel_late), (True, cancel), (True, cancel_late), (True, close)],
    ids=["cold-cancel", "cold-cancel_late", "warm-cancel", "warm-cancel_late", "warm-close"],
)
@pytest.mark.parametrize("fails", [False, True], ids=["success", "failure"])
def test_call_given_up_anywhere_leaves_nothing_behind(
    redis_server: RedisServer,
    redis: Redis,
    way: Callable[[Any], None],
    staleness: float,
    *,
    is_warm: bool,
    fails: bool,
) -> None:
    """A call that is cancelled or closed at any suspension leaves no lease, and counts as it ended."""
    phases: set[str] = set()

    async def once(place: int, suspended: Callable[[Awaitable[Any]], Suspended]) -> bool:
        breaker = new_breaker(redis_server.url, name=f"place{place}", max_staleness=staleness)
        circuit = CircuitInRedis(redis, breaker.name)
        before = int(is_warm)
        await succeed(breaker, before)
        phase = Phase(fails=fails)

        given_up = await is_given_up(suspended(breaker.call(phase.guarded)))

        phases.add(phase.now)
        await asyncio.to_thread(wait_until_settled, breaker)
        await succeed(breaker)
        breaker._store.settle_at_exit()
        tally = "failed_calls" if fails else "successful_calls"
        ended = {"admission": None, "call": "released_calls", "report": tally}[phase.now]
        expected = {"successful_calls": before + 1}
        if ended is not None:
            expected[ended] = expected.get(ended, 0) + 1
        elif ends_of(circuit).get("released_calls"):  # it was admitted, and nobody learned of it
            expected["released_calls"] = 1
        assert ends_of(circuit) == expected, f"given up at suspension {place}, in its {phase.now}"
        assert circuit.leases() == {}
        return not given_up

    async def whole() -> None:
        await give_up_everywhere(way, once)

    asyncio.run(whole())
    wanted = {"call", "report"} if is_warm and staleness else {"admission", "call", "report"}
    assert phases == wanted


@pytest.mark.parametrize("way", WAYS)
def test_probe_given_up_anywhere_frees_its_place(
    redis_server: RedisServer, redis: Redis, way: Callable[[Any], None], staleness: float
) -> None:
    """The one probe that may be under way, given up at any suspension, leaves its place to the next."""

    async def once(place: int, suspended: Callable[[Awaitable[Any]], Suspended]) -> bool:
        breaker = new_breaker(
            redis_server.url, name=f"probe{place}", half_open_max_calls=1, max_staleness=staleness
        )
        circuit = CircuitInRedis(redis, breaker.name)
        await fail(breaker, 3)
        circuit.end_open_period()
        breaker._store.doubt_view()

        given_up = await is_given_up(suspended(breaker.call(work)))

        await asyncio.to_thread(wait_until_settled, breaker)
        assert circuit.leases() == {}, f"given up at suspension {place}"
        successes = int(circuit.field("success_count") or 0)
        await succeed(breaker, 2 - successes)
        assert circuit.field("state") == "closed", f"given up at suspension {place}"
        assert circuit.number("half_open_to_closed") == 1
        return not given_up

    async def whole() -> None:
        await give_up_everywhere(way, once)

    asyncio.run(whole())


@pytest.mark.parametrize("way", WAYS)
def test_block_given_up_anywhere_leaves_nothing_behind(
    redis_server: RedisServer, redis: Redis, way: Callable[[Any], None]
) -> None:
    """`async with breaker:` is as safe as a call, and the task's next blocks end their own calls."""

    async def once(place: int, suspended: Callable[[Awaitable[Any]], Suspended]) -> bool:
        breaker = new_breaker(redis_server.url, name=f"block{place}")
        circuit = CircuitInRedis(redis, breaker.name)
        await succeed(breaker)

        async def block() -> None:
            async with breaker:
                await asyncio.sleep(0)

        given_up = await is_given_up(suspended(block()))

        await asyncio.to_thread(wait_until_settled, breaker)
        async with breaker:
            async with breaker:
                pass
            assert (await breaker.snapshot()).calls_in_flight == 1
        assert circuit.leases() == {}
        assert breaker._open_blocks._blocks == {}
        tallies = ends_of(circuit)
        assert tallies.pop("successful_calls") + tallies.pop("released_calls", 0) in {3, 4}
        assert tallies == {}
        return not given_up

    async def whole() -> None:
        await give_up_everywhere(way, once)

    asyncio.run(whole())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("act", ["force_open", "force_close", "disable", "enable", "snapshot", "get_metrics"])
def test_other_questions_given_up_anywhere_mix_no_answers(
    redis_server: RedisServer, redis: Redis, way: Callable[[Any], None], act: str
) -> None:
    """What is given up in the middle of a question disturbs no other question, before, beside or after it."""

    async def once(place: int, suspended: Callable[[Awaitable[Any]], Suspended]) -> bool:
        others = [new_breaker(redis_server.url, name=f"{act}{place}.{number}") for number in range(4)]
        for number, other in enumerate(others):
            await succeed(other, number)
        breaker = new_breaker(redis_server.url, name=f"{act}{place}")
        await asyncio.gather(*(other.snapshot() for other in [breaker, *others]))

        async def looks_of_others() -> list[int]:
            snapshots = await asyncio.gather(*(other.get_metrics() for other in others))
            return [snapshot["successful_calls"] for snapshot in snapshots]

        assert await looks_of_others() == [0, 1, 2, 3]
        beside = asyncio.create_task(looks_of_others())
        await asyncio.sleep(0)
        given_up = await is_given_up(suspended(getattr(breaker, act)()))

        assert await beside == [0, 1, 2, 3]
        assert await looks_of_others() == [0, 1, 2, 3]
        return not given_up

    async def whole() -> None:
        await give_up_everywhere(way, once)

    asyncio.run(whole())


@pytest.mark.parametrize("way", WAYS)
def test_pair_given_up_anywhere_counts_once(
    redis_server: RedisServer, redis: Redis, way: Callable[[Any], None]
) -> None:
    """A report that is given up at any suspension is told all the same, once."""

    async def once(place: int, suspended: Callable[[Awaitable[Any]], Suspended]) -> bool:
        breaker = new_breaker(redis_server.url, name=f"pair{place}")
        circuit = CircuitInRedis(redis, breaker.name)
        admission = await breaker.admit()
        redis.script_flush()  # so that there is more than one answer to wait for

        given_up = await is_given_up(suspended(breaker.report(admission, Outcome.FAILURE)))

        await asyncio.to_thread(wait_until_settled, breaker)
        assert ends_of(circuit) == {"failed_calls": 1}
        assert circuit.leases() == {}
        await breaker.report(admission, Outcome.FAILURE)
        assert ends_of(circuit) == {"failed_calls": 1}
        return not given_up

    async def whole() -> None:
        await give_up_everywhere(way, once)

    asyncio.run(whole())
