"""A guarded function that calls another one under the same breaker: SB-015."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from case_views import EITHER_VIEW, open_and_over
from redis import Redis

from circuit_in_redis import (
    OPEN_MS,
    BadRequestError,
    CircuitInRedis,
    ServiceDownError,
    be_rejected,
    new_breaker,
    service_down,
)
from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, CircuitBreakerError, Outcome, circuit_breaker

ONE_PLACE: dict[str, Any] = {"success_threshold": 1, "half_open_max_calls": 1}


def by_call(breaker: CircuitBreaker, work: Callable[[], object]) -> object:
    return breaker.call(work)


def by_decorator(breaker: CircuitBreaker, work: Callable[[], object]) -> object:
    return circuit_breaker(breaker)(work)()


def by_block(breaker: CircuitBreaker, work: Callable[[], object]) -> object:
    with breaker:
        return work()


WAYS = [by_call, by_decorator, by_block]
Way = Callable[[CircuitBreaker, Callable[[], object]], object]


@pytest.mark.parametrize("inner", WAYS)
@pytest.mark.parametrize("outer", WAYS)
@EITHER_VIEW
def test_sb015_call_inside_a_probe_is_part_of_it(
    redis: Redis, outer: Way, inner: Way, max_staleness: float
) -> None:
    """With one place a probe that calls its own breaker runs once, as does what it calls, and closes.

    Failed at first: the inner call was rejected, so that a circuit with one place that is only ever called in
    this way stayed half-open for ever.
    """
    breaker, circuit = open_and_over(redis, max_staleness=max_staleness, **ONE_PLACE)
    ran: list[str] = []

    def whole() -> object:
        ran.append("outer")
        return inner(breaker, lambda: ran.append("inner"))

    outer(breaker, whole)

    assert ran == ["outer", "inner"]
    assert circuit.field("state") == "closed"
    assert circuit.numbers("successful_calls", "rejected_calls") == {
        "successful_calls": 1,
        "rejected_calls": 0,
    }
    assert circuit.leases() == {}


@pytest.mark.parametrize("inner", WAYS)
def test_sb015_failure_inside_a_probe_fails_the_probe_once(redis: Redis, inner: Way) -> None:
    """The inner failure comes out of the probe, is counted once, and opens the circuit."""
    breaker, circuit = open_and_over(redis, **ONE_PLACE)

    with pytest.raises(ServiceDownError):
        breaker.call(lambda: inner(breaker, service_down))

    assert circuit.field("state") == "open"
    assert circuit.number("failed_calls") == 3 + 1
    assert circuit.leases() == {}


def test_sb015_after_the_probe_its_caller_is_as_any_other(redis: Redis) -> None:
    """When the probe is over, calls of the same thread ask again: nothing of it is left."""
    breaker, circuit = open_and_over(redis, **ONE_PLACE)
    with pytest.raises(BadRequestError):
        by_block(breaker, lambda: breaker.call(bad_request))
    with pytest.raises(ServiceDownError):
        breaker.call(lambda: breaker.call(service_down))

    be_rejected(breaker)

    assert circuit.number("rejected_calls") == 1


def test_sb015_other_circuits_are_asked_inside_a_probe(redis: Redis) -> None:
    """A probe of one circuit is no leave for another: its own breaker is asked, and may reject."""
    other = new_breaker(redis, name="other")
    other.force_open()
    breaker, circuit = open_and_over(redis, **ONE_PLACE)

    with pytest.raises(CircuitBreakerError):
        breaker.call(lambda: other.call(int))

    assert (circuit.field("state"), circuit.leases()) == ("half_open", {})
    assert circuit.number("ignored_calls") == 1
    assert CircuitInRedis(redis, "other").number("rejected_calls") == 1


def test_sb015_rejection_inside_a_call_is_no_failure(redis: Redis) -> None:
    """Where the circuit opens in the middle of a closed call, its inner rejection counts against nobody."""
    breaker = new_breaker(redis, expected_exception=Exception)
    circuit = CircuitInRedis(redis)

    def outer() -> None:
        breaker.force_open()
        breaker.call(int)

    with pytest.raises(CircuitBreakerError):
        breaker.call(outer)

    assert circuit.numbers("failed_calls", "ignored_calls") == {"failed_calls": 0, "ignored_calls": 1}


def test_sb015_calls_inside_each_other_are_calls_of_their_own_while_it_is_closed(redis: Redis) -> None:
    """In closed nobody waits for a place, and each guarded call counts for itself."""
    breaker = new_breaker(redis)

    assert breaker.call(lambda: breaker.call(lambda: "done")) == "done"

    assert CircuitInRedis(redis).number("successful_calls") == 2


@pytest.mark.sync_only("guards a context manager of its own kind")
def test_sb015_call_inside_a_context_manager_that_probes_is_part_of_it(redis: Redis) -> None:
    """What is called in the block of a guarded context manager, or in its setup, is part of its probe."""
    breaker, circuit = open_and_over(redis, **ONE_PLACE)

    @circuit_breaker(breaker)
    @contextmanager
    def session() -> Iterator[int]:
        yield breaker.call(int)

    with session():
        breaker.call(int)
    assert circuit.field("state") == "closed"
    assert circuit.number("successful_calls") == 1


@pytest.mark.sync_only("hands on a stream of its own kind")
def test_sb015_reader_of_a_stream_that_probes_is_not_part_of_it(redis: Redis) -> None:
    """Whoever reads a stream decides when it ends, so its own calls ask; those inside the stream do not."""
    breaker, circuit = open_and_over(redis, **ONE_PLACE)

    def returns_a_stream() -> Iterator[int]:
        assert breaker.call(int) == 0
        return (number for number in range(3))

    for _ in breaker.call(returns_a_stream):
        be_rejected(breaker)

    assert circuit.field("state") == "closed"


@pytest.mark.sync_only("drives an event loop itself")
def test_sb015_tasks_inside_a_probe_are_part_of_it_while_it_lasts(redis: Redis) -> None:
    """On an event loop so are tasks that it begins, as asyncio.wait_for does; when it is over they ask."""
    _, circuit = open_and_over(redis, **ONE_PLACE)

    async def run() -> None:
        breaker = AsyncCircuitBreaker(
            name="orders", redis=redis, redis_timeout=5, timeout=OPEN_MS / 1000, **ONE_PLACE
        )
        is_over = asyncio.Event()

        @circuit_breaker(breaker)
        @asynccontextmanager
        async def session() -> AsyncIterator[str]:
            yield await asyncio.wait_for(breaker.call(answer), 20)

        async def outlives_it() -> None:
            await is_over.wait()
            with pytest.raises(CircuitBreakerError):
                await breaker.call(answer)

        async with session():
            assert await breaker.call(lambda: breaker.call(answer)) == "done"
            task = asyncio.create_task(outlives_it())
        assert circuit.field("state") == "closed"
        await breaker.force_open()
        is_over.set()
        await task

    asyncio.run(run())
    assert circuit.numbers("successful_calls", "rejected_calls") == {
        "successful_calls": 1,
        "rejected_calls": 1,
    }


def test_sb015_halves_of_a_call_inside_a_probe_are_part_of_it(redis: Redis) -> None:
    """What `admit` gives inside a probe is owed nothing: no report of it decides, or counts."""
    breaker, circuit = open_and_over(redis, **ONE_PLACE)

    def outer() -> None:
        breaker.report(breaker.admit(), Outcome.FAILURE, ServiceDownError())

    by_block(breaker, outer)

    assert circuit.field("state") == "closed"
    assert circuit.numbers("failed_calls", "successful_calls") == {"failed_calls": 3, "successful_calls": 1}


def test_sb015_child_that_is_forked_inside_a_probe_is_not_part_of_it(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe ends in its parent, and the child would never notice: it asks."""
    breaker, _ = open_and_over(redis, **ONE_PLACE)

    def as_in_a_child() -> None:
        with monkeypatch.context() as child:
            child.setattr("sharedbreaker.open_probes.os.getpid", lambda: -1)
            be_rejected(breaker)

    breaker.call(as_in_a_child)


async def answer() -> str:
    await asyncio.sleep(0)
    return "done"


def bad_request() -> None:
    raise BadRequestError("400")
