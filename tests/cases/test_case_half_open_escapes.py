"""A probe that ends in neither success nor failure gives its place back: SB-003, SB-005 and SB-006."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import pytest
from case_views import EITHER_VIEW, open_and_over, pass_time
from celery.exceptions import SoftTimeLimitExceeded
from google.api_core.exceptions import InvalidArgument
from google.genai.errors import ClientError
from redis import Redis
from workforce import wait_until

from circuit_in_redis import OPEN_MS, CircuitInRedis, fail, new_breaker, succeed
from driven_async_breaker import DrivenAsyncBreaker
from guarded_calls import BadRequestError, ServiceDownError
from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, circuit_breaker
from sharedbreaker.google_errors import outcome_of

ONE_PLACE: dict[str, Any] = {
    "success_threshold": 1,
    "half_open_max_calls": 1,
    "probe_timeout": 3600,
    "lease_timeout": 3600,
}
"""And a lease that no test outlives."""


class OwnBaseError(BaseException):
    """As gevent's timeouts and greenlets' exits are."""


def call(breaker: CircuitBreaker, error: BaseException) -> None:
    def work() -> None:
        raise error

    breaker.call(work)


def decorated(breaker: CircuitBreaker, error: BaseException) -> None:
    @circuit_breaker(breaker)
    def work() -> None:
        raise error

    work()


def block(breaker: CircuitBreaker, error: BaseException) -> None:
    with breaker:
        raise error


def stream(breaker: CircuitBreaker, error: BaseException) -> None:
    if isinstance(breaker, DrivenAsyncBreaker):
        raise asyncio.run(end_of_stream(breaker._twin, error))

    def pieces() -> Iterator[int]:
        yield 1
        raise error

    for _ in breaker.call(pieces):
        pass


async def end_of_stream(breaker: AsyncCircuitBreaker, error: BaseException) -> BaseException:
    """What comes out of a stream that ends with ``error``; raised here it could end the loop."""

    async def pieces() -> AsyncIterator[int]:
        yield 1
        raise error

    try:
        async for _ in breaker.call(pieces):
            pass
    except BaseException as ended_by:
        return ended_by
    raise AssertionError("the stream did not end with the error")


EACH_WAY = pytest.mark.parametrize("make_call", [call, decorated, block, stream])
Way = Callable[[CircuitBreaker, BaseException], None]


def raises_unchanged(make_call: Way, breaker: CircuitBreaker, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        make_call(breaker, error)
    assert caught.value is error


@EACH_WAY
@EITHER_VIEW
def test_sb003_place_of_a_probe_that_is_ignored_is_free_at_once(
    redis: Redis, make_call: Way, max_staleness: float
) -> None:
    """An error that does not count comes out unchanged, and the next call is the probe that closes."""
    breaker, circuit = open_and_over(redis, max_staleness=max_staleness, **ONE_PLACE)

    raises_unchanged(make_call, breaker, BadRequestError("400"))
    assert (circuit.field("state"), circuit.leases()) == ("half_open", {})
    succeed(breaker)

    assert circuit.field("state") == "closed"
    assert circuit.numbers("ignored_calls", "successful_calls") == {
        "ignored_calls": 1,
        "successful_calls": 1,
    }


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("wrong model"),
        ClientError(400, {"error": {"message": "m", "status": "INVALID_ARGUMENT"}}),
    ],
    ids=["google-generativeai", "google-genai"],
)
def test_sb003_mistake_that_google_ai_reports_does_not_keep_the_place(redis: Redis, error: Exception) -> None:
    """What either of Google's SDKs raises for a caller's mistake leaves the place to the next call."""
    open_and_over(redis, **ONE_PLACE)
    breaker = new_breaker(redis, expected_exception=outcome_of, **ONE_PLACE)

    raises_unchanged(call, breaker, error)
    succeed(breaker)

    assert CircuitInRedis(redis).field("state") == "closed"


@EACH_WAY
@pytest.mark.parametrize(
    "error_type", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError, OwnBaseError]
)
def test_sb005_whoever_leaves_in_the_middle_of_a_probe_decides_nothing(
    redis: Redis, make_call: Way, error_type: type[BaseException]
) -> None:
    """What is no Exception comes out unchanged, frees the place, and is neither success nor failure."""
    breaker, circuit = open_and_over(redis, expected_exception=Exception, **ONE_PLACE)
    before = circuit.tallies()

    raises_unchanged(make_call, breaker, error_type())
    assert circuit.field("state") == "half_open"
    succeed(breaker)

    assert circuit.field("state") == "closed"
    assert circuit.tallies() == {**before, "released_calls": 1, "successful_calls": 1}


@EACH_WAY
@EITHER_VIEW
@pytest.mark.parametrize("error_type", [KeyboardInterrupt, SystemExit, OwnBaseError])
def test_sb005_whoever_leaves_a_closed_circuit_changes_nothing(
    redis: Redis, make_call: Way, error_type: type[BaseException], max_staleness: float
) -> None:
    """With a threshold of one a Ctrl-C opens nothing, and does not end a row of failures either."""
    breaker = new_breaker(
        redis, failure_threshold=2, expected_exception=Exception, max_staleness=max_staleness
    )
    circuit = CircuitInRedis(redis)
    fail(breaker)

    for _ in range(3):
        raises_unchanged(make_call, breaker, error_type())

    assert breaker.get_metrics()["state"] == "closed"
    assert breaker.get_metrics()["current_failure_count"] == 1
    assert breaker.get_metrics()["successful_calls"] == 0
    fail(breaker)
    assert circuit.field("state") == "open"


@EACH_WAY
def test_sb005_soft_time_limit_of_celery_gives_the_place_back(redis: Redis, make_call: Way) -> None:
    """Celery's SoftTimeLimitExceeded, an Exception, comes out unchanged and is a failure if those count."""
    breaker, circuit = open_and_over(redis, expected_exception=Exception, **ONE_PLACE)

    raises_unchanged(make_call, breaker, SoftTimeLimitExceeded())

    assert (circuit.field("state"), circuit.leases()) == ("open", {})
    pass_time(circuit, OPEN_MS)
    ignoring = new_breaker(redis, expected_exception=ServiceDownError, **ONE_PLACE)
    raises_unchanged(make_call, ignoring, SoftTimeLimitExceeded())
    succeed(ignoring)
    assert circuit.field("state") == "closed"


class Hanging:
    """A service that never answers, and the ways to call it."""

    def __init__(self) -> None:
        self.is_called = asyncio.Event()

    async def answer(self) -> None:
        self.is_called.set()
        await asyncio.Event().wait()

    async def stream(self) -> AsyncIterator[int]:
        yield 1
        await self.answer()

    async def by_call(self, breaker: AsyncCircuitBreaker) -> None:
        await breaker.call(self.answer)

    async def by_decorator(self, breaker: AsyncCircuitBreaker) -> None:
        await circuit_breaker(breaker)(self.answer)()

    async def by_block(self, breaker: AsyncCircuitBreaker) -> None:
        async with breaker:
            await self.answer()

    async def by_stream(self, breaker: AsyncCircuitBreaker) -> None:
        async for _ in breaker.call(self.stream):
            pass


async def cancel_task(probe: Awaitable[None], service: Hanging) -> None:
    task = asyncio.ensure_future(probe)
    await service.is_called.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def cancel_task_twice(probe: Awaitable[None], service: Hanging) -> None:
    task = asyncio.ensure_future(probe)
    await service.is_called.wait()
    task.cancel()
    asyncio.get_running_loop().call_soon(task.cancel)
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def wait_for(probe: Awaitable[None], service: Hanging) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(probe, 0.05)


async def awaited(probe: Awaitable[None]) -> None:
    await probe


async def cancel_scope(probe: Awaitable[None], service: Hanging) -> None:
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(partial(awaited, probe))
            await service.is_called.wait()
            scope.cancel()
    assert scope.cancelled_caught


WAYS_TO_CALL = ["by_call", "by_decorator", "by_block", "by_stream"]


@pytest.mark.sync_only("drives an event loop itself")
@pytest.mark.parametrize("way", WAYS_TO_CALL)
@pytest.mark.parametrize("cancel", [cancel_task, cancel_task_twice, wait_for, cancel_scope])
@EITHER_VIEW
def test_sb006_place_of_a_cancelled_probe_is_free_at_once(
    redis: Redis,
    way: str,
    cancel: Callable[[Awaitable[None], Hanging], Awaitable[None]],
    max_staleness: float,
) -> None:
    """However the task that probes is cancelled, the very next call is admitted, and nothing was counted.

    Failed at first: a thread tells Redis of a call that was cancelled, and the next call's question overtook
    it, so that a call that came at once was rejected although the place was free.
    """
    _, circuit = open_and_over(redis, **ONE_PLACE)

    async def run() -> None:
        breaker = async_breaker(redis, max_staleness)
        service = Hanging()
        await cancel(getattr(service, way)(breaker), service)
        assert await breaker.call(answer) == "done"

    asyncio.run(run())
    assert circuit.field("state") == "closed"
    assert circuit.numbers("released_calls", "failed_calls") == {"released_calls": 1, "failed_calls": 3}


@pytest.mark.sync_only("drives an event loop itself")
@EITHER_VIEW
def test_sb006_place_of_a_probe_that_is_cancelled_while_it_is_admitted_is_free_at_once(
    redis: Redis, max_staleness: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that is cancelled before it hears that it may probe leaves its place to the very next call.

    So it is though the thread that tells Redis comes late, or, as here, never.

    Failed at first: the next call's question overtook that thread here as well.
    """
    _, circuit = open_and_over(redis, **ONE_PLACE)

    async def run() -> None:
        breaker = async_breaker(redis, max_staleness)
        await breaker.snapshot()
        monkeypatch.setattr(breaker._store._guard, "settle_soon", lambda settle: None)
        task = asyncio.ensure_future(breaker.call(answer))
        while not circuit.leases():  # noqa: ASYNC110 - Redis tells first
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert await breaker.call(answer) == "done"

    asyncio.run(run())
    assert circuit.field("state") == "closed"


@pytest.mark.sync_only("drives an event loop itself")
@EITHER_VIEW
def test_sb006_release_reaches_redis_though_the_loop_ends_with_the_probe(
    redis: Redis, max_staleness: float
) -> None:
    """When the cancelled task is the loop's last, it is told all the same, and others are admitted."""
    breaker, circuit = open_and_over(redis, **ONE_PLACE)

    async def run() -> None:
        service = Hanging()
        probe = asyncio.ensure_future(service.by_call(async_breaker(redis, max_staleness)))
        await service.is_called.wait()
        probe.cancel()
        await probe

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())

    wait_until(lambda: not circuit.leases())
    succeed(breaker)
    assert circuit.field("state") == "closed"
    assert circuit.number("released_calls") == 1


async def answer() -> str:
    await asyncio.sleep(0)
    return "done"


def async_breaker(redis: Redis, max_staleness: float) -> AsyncCircuitBreaker:
    return AsyncCircuitBreaker(
        name="orders",
        redis=redis,
        expected_exception=ServiceDownError,
        failure_threshold=3,
        timeout=OPEN_MS / 1000,
        redis_timeout=5,
        max_staleness=max_staleness,
        **ONE_PLACE,
    )
