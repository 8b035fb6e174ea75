"""``with breaker:`` in tasks, generators and copied contexts: a block ends its own call, wherever it ends."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from circuit_in_redis import CircuitInRedis, ServiceDownError, new_breaker, trip
from sharedbreaker import CircuitBreaker


def stream(breaker: CircuitBreaker, error: Exception | None = None) -> Iterator[str]:
    """A guarded generator, as a web server steps through it."""
    with breaker:
        yield "part"
        if error is not None:
            raise error


def step(parts: Iterator[str]) -> str | None:
    """One step in a context of its own, as where a thread pool makes each step."""
    return contextvars.copy_context().run(next, parts, None)


def test_block_may_end_in_another_context_than_it_began(redis: Redis) -> None:
    """A guarded generator that a web server steps in copied contexts ends like any other block."""
    breaker = new_breaker(redis)

    parts = stream(breaker)

    assert [step(parts), step(parts)] == ["part", None]
    metrics = breaker.get_metrics()
    assert (metrics["successful_calls"], metrics["calls_in_flight"]) == (1, 0)


def test_block_may_end_in_another_thread_than_it_began(redis: Redis) -> None:
    """A guarded generator whose steps run in different threads raises its own error at its end."""
    breaker = new_breaker(redis)

    parts = stream(breaker, ServiceDownError("503"))
    next(parts)
    with ThreadPoolExecutor(1) as pool, pytest.raises(ServiceDownError):
        pool.submit(next, parts).result()

    metrics = breaker.get_metrics()
    assert (metrics["failed_calls"], metrics["calls_in_flight"]) == (1, 0)


def test_blocks_of_tasks_that_interleave_report_their_own_end(redis: Redis) -> None:
    """Blocks of many tasks of one event loop, which take turns inside, each report their own end."""
    breaker = new_breaker(redis, failure_threshold=1000)

    async def guarded(number: int) -> None:
        with breaker:
            await asyncio.sleep(0)
            if number % 3 == 0:
                raise ServiceDownError("503")
            await asyncio.sleep(0)

    async def everybody() -> None:
        await asyncio.gather(*(guarded(number) for number in range(30)), return_exceptions=True)

    asyncio.run(everybody())

    metrics = breaker.get_metrics()
    assert (metrics["successful_calls"], metrics["failed_calls"]) == (20, 10)
    assert CircuitInRedis(redis).leases() == {}


def test_cancelled_task_releases_its_block(redis: Redis) -> None:
    """A task that is cancelled inside its block is released, and frees its lease."""
    breaker = new_breaker(redis)

    async def guarded() -> None:
        with breaker:
            await asyncio.sleep(60)

    async def cancel() -> None:
        task = asyncio.create_task(guarded())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())

    assert breaker.get_metrics()["released_calls"] == 1
    assert CircuitInRedis(redis).leases() == {}


def test_closed_generator_releases_its_block(redis: Redis) -> None:
    """A guarded generator that is thrown away half-way is released."""
    breaker = new_breaker(redis)
    parts = stream(breaker)
    next(parts)

    parts.close()  # type: ignore[attr-defined]

    assert breaker.get_metrics()["released_calls"] == 1
    assert CircuitInRedis(redis).leases() == {}


@pytest.mark.parametrize("advance", [step, next], ids=["own context each", "same context"])
def test_late_block_does_not_end_a_probe_in_its_place(redis: Redis, advance: object) -> None:
    """A block from before the trip that fails while a probe's block is open is late: the probe goes on."""
    assert callable(advance)
    breaker = new_breaker(redis, success_threshold=1)
    late = stream(breaker, ServiceDownError("503"))
    advance(late)
    circuit = trip(breaker, redis)
    circuit.end_open_period()
    probe = stream(breaker)
    advance(probe)

    with pytest.raises(ServiceDownError):
        advance(late)

    assert circuit.field("state") == "half_open"
    assert circuit.number("late_results") == 1
    with pytest.raises(StopIteration):
        next(probe)
    assert circuit.field("state") == "closed"


def test_exit_stack_ends_its_blocks_in_their_order(redis: Redis) -> None:
    """Blocks entered on an ExitStack end like nested ones: the last first, each its own call."""
    breaker = new_breaker(redis, success_threshold=1)

    with contextlib.ExitStack() as stack:
        stack.enter_context(breaker)
        circuit = trip(breaker, redis)
        circuit.end_open_period()
        stack.enter_context(breaker)

    assert circuit.transitions() == {"closed_to_open": 1, "open_to_half_open": 1, "half_open_to_closed": 1}
    assert circuit.number("late_results") == 1
    assert circuit.leases() == {}


def test_exit_stacks_that_interleave_each_end_their_own_block(redis: Redis) -> None:
    """Blocks on two stacks of one function, ended in the order they began, are all reported."""
    breaker = new_breaker(redis)
    first, second = contextlib.ExitStack(), contextlib.ExitStack()
    first.enter_context(breaker)
    second.enter_context(breaker)

    first.close()
    second.close()

    assert breaker.get_metrics()["successful_calls"] == 2
    assert CircuitInRedis(redis).leases() == {}


def test_recursion_ends_every_block(redis: Redis) -> None:
    """A function that guards itself and calls itself reports each of its blocks once."""
    breaker = new_breaker(redis)

    def dive(depth: int) -> int:
        with breaker:
            return depth if depth == 0 else dive(depth - 1)

    assert dive(20) == 0
    assert breaker.get_metrics()["successful_calls"] == 21
    assert CircuitInRedis(redis).leases() == {}


def test_breaker_keeps_nothing_of_blocks_that_ended(redis: Redis) -> None:
    """What a guarded function held can be collected when its block has ended."""
    breaker = new_breaker(redis)

    class Picture:
        """Something large."""

    def guarded() -> weakref.ref[Picture]:
        picture = Picture()
        with contextlib.suppress(ServiceDownError), breaker:
            raise ServiceDownError("503")
        return weakref.ref(picture)

    gone = guarded()
    gc.collect()

    assert gone() is None
