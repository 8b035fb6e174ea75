"""``async with breaker:`` guards a block like a call: nested, in tasks and groups, generators and stacks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from async_calls import ends_of, fail, hold, new_breaker, service_down, wait_until_settled, work
from redis import Redis

from circuit_in_redis import CircuitInRedis
from guarded_calls import BadRequestError, ServiceDownError
from sharedbreaker import AsyncCircuitBreaker, CircuitBreakerError


@pytest.mark.parametrize(
    ("error", "tally"),
    [
        (None, "successful_calls"),
        (ServiceDownError("503"), "failed_calls"),
        (BadRequestError("400"), "ignored_calls"),
        (asyncio.CancelledError(), "released_calls"),
        (GeneratorExit(), "released_calls"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_block_is_judged_like_a_call(redis: Redis, error: BaseException | None, tally: str) -> None:
    """An exception leaves the block unchanged and is tallied as it would be from a call."""
    breaker = new_breaker(redis)

    async def guarded() -> BaseException | None:
        try:
            async with breaker as entered:
                assert entered is breaker
                assert (await breaker.snapshot()).calls_in_flight == 1
                if error is not None:
                    raise error  # noqa: TRY301 - it is the block's
        except BaseException as caught:
            return caught
        return None

    assert asyncio.run(guarded()) is error
    wait_until_settled(breaker)
    assert ends_of(CircuitInRedis(redis)) == {tally: 1}
    assert CircuitInRedis(redis).leases() == {}


def test_rejected_block_does_not_run(redis: Redis) -> None:
    """While the circuit is open the block is not entered, and an outer block's call is left alone."""
    breaker = new_breaker(redis, failure_threshold=1)
    entered = False

    async def guarded() -> None:
        nonlocal entered
        async with breaker:
            await fail(breaker)
            with pytest.raises(CircuitBreakerError):
                async with breaker:
                    entered = True
            assert (await breaker.snapshot()).calls_in_flight == 1

    asyncio.run(guarded())

    assert not entered
    assert ends_of(CircuitInRedis(redis)) == {
        "failed_calls": 1,
        "rejected_calls": 1,
        "successful_calls": 1,
        "late_results": 1,
    }


def test_many_blocks_in_one_task_end_their_own_calls(redis: Redis) -> None:
    """Blocks of one breaker inside each other each end their own lease, the inner ones first."""
    breaker = new_breaker(redis, failure_threshold=100)

    async def dive(depth: int) -> None:
        with contextlib.suppress(ServiceDownError):
            async with breaker:
                if depth:
                    await dive(depth - 1)
                # Those further down have ended, and those further up have not.
                assert (await breaker.snapshot()).calls_in_flight == 21 - depth
                if depth % 2:
                    raise ServiceDownError("503")

    asyncio.run(dive(20))

    assert ends_of(CircuitInRedis(redis)) == {"successful_calls": 11, "failed_calls": 10}
    assert CircuitInRedis(redis).leases() == {}


def test_probe_inside_a_block_of_before_the_trip_ends_its_own_call(redis: Redis) -> None:
    """A probe's block inside a block from before the trip counts as the probe, and the outer one is late."""
    breaker = new_breaker(redis, success_threshold=1, failure_threshold=1)
    circuit = CircuitInRedis(redis)

    async def whole() -> None:
        async with breaker:
            await fail(breaker)
            circuit.end_open_period()
            async with breaker:
                pass
            assert circuit.field("state") == "closed"

    asyncio.run(whole())

    assert circuit.number("late_results") == 1


def test_blocks_across_gather_report_their_own_end(redis: Redis) -> None:
    """Blocks of a hundred tasks that take turns inside each report their own end."""
    breaker = new_breaker(redis, failure_threshold=1000)

    async def guarded(number: int) -> None:
        async with breaker:
            await asyncio.sleep(0)
            if number % 4 == 0:
                raise ServiceDownError("503")
            if number % 4 == 1:
                raise BadRequestError("400")
            await asyncio.sleep(0)

    async def whole() -> None:
        await asyncio.gather(*(guarded(number) for number in range(100)), return_exceptions=True)

    asyncio.run(whole())

    assert ends_of(CircuitInRedis(redis)) == {
        "successful_calls": 50,
        "failed_calls": 25,
        "ignored_calls": 25,
    }
    assert CircuitInRedis(redis).leases() == {}


def test_one_that_fails_in_gather_cancels_no_other(redis: Redis) -> None:
    """asyncio.gather hands on a rejection or failure of one call, and the others still count."""
    breaker = new_breaker(redis)

    async def whole() -> None:
        calls = [asyncio.create_task(breaker.call(work)) for _ in range(10)]
        with pytest.raises(ServiceDownError):
            await asyncio.gather(*calls, breaker.call(service_down))
        await asyncio.gather(*calls)

    asyncio.run(whole())

    assert ends_of(CircuitInRedis(redis)) == {"successful_calls": 10, "failed_calls": 1}


@pytest.mark.skipif(
    not hasattr(asyncio, "TaskGroup"), reason="Python 3.10 has no task groups; anyio's are tested"
)
def test_task_group_that_one_call_breaks_releases_the_others(redis: Redis) -> None:
    """Where one call of a TaskGroup fails, the calls that the group cancels are released."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)

    async def fails_last(inside: list[asyncio.Event]) -> None:
        for event in inside:
            await event.wait()
        await service_down()

    async def whole() -> None:
        inside = [asyncio.Event() for _ in range(5)]
        with contextlib.suppress(Exception):  # the group's, of what Python 3.10 has no name for
            async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined,unused-ignore]
                for event in inside:
                    group.create_task(breaker.call(hold, event))
                group.create_task(breaker.call(fails_last, inside))

    asyncio.run(whole())
    wait_until_settled(breaker)

    assert ends_of(circuit) == {"failed_calls": 1, "released_calls": 5}
    assert circuit.leases() == {}


async def stream(breaker: AsyncCircuitBreaker, error: Exception | None = None) -> AsyncIterator[str]:
    async with breaker:
        yield "part"
        if error is not None:
            raise error


def test_guarded_generators_that_interleave_report_their_own_end(redis: Redis) -> None:
    """Two guarded async generators of one task that end in the order they began end each their own call."""
    breaker = new_breaker(redis)

    async def whole() -> None:
        first, second = stream(breaker, ServiceDownError("503")), stream(breaker)
        await first.__anext__()
        await second.__anext__()
        with pytest.raises(ServiceDownError):
            await first.__anext__()
        assert [part async for part in second] == []

    asyncio.run(whole())

    assert ends_of(CircuitInRedis(redis)) == {"successful_calls": 1, "failed_calls": 1}


def test_guarded_generator_that_is_thrown_away_is_released(redis: Redis) -> None:
    """A guarded async generator whose consumer went away is released, closed or collected."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)

    async def whole() -> None:
        closed, collected = stream(breaker), stream(breaker)
        await closed.__anext__()
        await collected.__anext__()
        await closed.aclose()  # type: ignore[attr-defined]
        del collected
        await asyncio.sleep(0.01)

    asyncio.run(whole())
    wait_until_settled(breaker)

    assert ends_of(circuit) == {"released_calls": 2}
    assert circuit.leases() == {}


def test_generator_stepped_by_other_tasks_ends_its_own_block(redis: Redis) -> None:
    """A guarded async generator that each step of which is a task of its own ends like any other block."""
    breaker = new_breaker(redis)

    async def step(parts: AsyncIterator[str]) -> str | None:
        return await anext(parts, None)

    async def whole() -> None:
        first, second = stream(breaker), stream(breaker, ServiceDownError("503"))
        for parts in (first, second):
            assert await asyncio.create_task(step(parts)) == "part"
        assert await asyncio.create_task(step(first)) is None
        with pytest.raises(ServiceDownError):
            await asyncio.create_task(step(second))

    asyncio.run(whole())

    assert ends_of(CircuitInRedis(redis)) == {"successful_calls": 1, "failed_calls": 1}


def test_exit_stack_ends_its_blocks_in_their_order(redis: Redis) -> None:
    """Blocks entered on an AsyncExitStack end like nested ones: the last first, each its own call."""
    breaker = new_breaker(redis, success_threshold=1, failure_threshold=1)
    circuit = CircuitInRedis(redis)

    async def whole() -> None:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(breaker)
            await fail(breaker)
            circuit.end_open_period()
            await stack.enter_async_context(breaker)

    asyncio.run(whole())

    assert circuit.transitions() == {"closed_to_open": 1, "open_to_half_open": 1, "half_open_to_closed": 1}
    assert circuit.number("late_results") == 1
    assert circuit.leases() == {}
