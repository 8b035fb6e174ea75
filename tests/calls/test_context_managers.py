"""What contextlib makes into a context manager, under a breaker: one call from entering it to leaving it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from counted import assert_counts, new_async_breaker, new_breaker, until_counts
from redis import Redis

from guarded_calls import BadRequestError, ServiceDownError
from sharedbreaker import CircuitBreakerError, circuit_breaker

log: list[str] = []


@pytest.fixture(autouse=True)
def empty_log() -> None:
    log.clear()


@contextlib.contextmanager
def session(name: str = "gemini") -> Iterator[str]:
    log.append("connected")
    try:
        yield name
    finally:
        log.append("hung up")


@contextlib.contextmanager
def broken() -> Iterator[str]:
    raise ServiceDownError
    yield "never"


@contextlib.contextmanager
def forgiving() -> Iterator[None]:
    with contextlib.suppress(ServiceDownError):
        yield


@contextlib.asynccontextmanager
async def async_session(name: str = "gemini") -> AsyncIterator[str]:
    log.append("connected")
    try:
        yield name
    finally:
        await asyncio.sleep(0)
        log.append("hung up")


class Client:
    session = staticmethod(session)

    @contextlib.contextmanager
    def method(self, name: str = "gemini") -> Iterator[str]:
        with session(name) as entered:
            yield entered


def logged(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)

    return wrapper


def decorated(breaker: Any, func: Any) -> Any:
    return circuit_breaker(breaker)(func)


def by_call(breaker: Any, func: Any) -> Any:
    return functools.partial(breaker.call, func)


WAYS = pytest.mark.parametrize("guard", [decorated, by_call])


@WAYS
@pytest.mark.parametrize(
    "func",
    [session, functools.partial(session, "gemini"), Client().method, Client.session, logged(session)],
    ids=["function", "partial", "bound method", "static method", "wrapper"],
)
def test_block_is_one_success(redis: Redis, guard: Any, func: Any) -> None:
    """A block is in flight from before it is entered until it was left, and then a success."""
    manager = guard(new_breaker(redis), func)()
    assert redis.keys() == []

    with manager as entered:
        assert (entered, log) == ("gemini", ["connected"])
        assert_counts(redis, in_flight=1)

    assert log == ["connected", "hung up"]
    assert_counts(redis, success=1)


@WAYS
@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ServiceDownError(), "failure"),
        (BadRequestError(), "ignored"),
        (KeyboardInterrupt(), "released"),
        (StopIteration(), "ignored"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_leaves_the_block_is_the_outcome(
    redis: Redis, guard: Any, error: BaseException, outcome: str
) -> None:
    """An error in the block passes through the manager unchanged, and is classified as any error is."""
    with pytest.raises(type(error)) as caught, guard(new_breaker(redis), session)():
        raise error

    assert caught.value is error
    assert log == ["connected", "hung up"]
    assert_counts(redis, **{outcome: 1})


@WAYS
def test_error_while_entering_is_the_outcome(redis: Redis, guard: Any) -> None:
    """A manager that cannot be entered is a call that failed."""
    with pytest.raises(ServiceDownError), guard(new_breaker(redis), broken)():
        pass

    assert_counts(redis, failure=1)


@WAYS
def test_error_that_the_manager_swallows_is_none(redis: Redis, guard: Any) -> None:
    """Where the manager swallows the block's error, the guarded one does, and nobody has failed."""
    with guard(new_breaker(redis), forgiving)():
        raise ServiceDownError

    assert_counts(redis, success=1)


@WAYS
def test_rejection_comes_when_entered(redis: Redis, guard: Any) -> None:
    """While the circuit is open entering raises, and nothing of the manager runs."""
    breaker = new_breaker(redis)
    breaker.force_open()
    manager = guard(breaker, session)()

    with pytest.raises(CircuitBreakerError), manager:
        pass

    assert log == []
    assert_counts(redis, rejected=1)


@WAYS
def test_block_that_is_never_left_is_released(redis: Redis, guard: Any) -> None:
    """A manager that was entered and then dropped is released when it is collected."""
    manager = guard(new_breaker(redis), session)()
    manager.__enter__()
    del manager
    gc.collect()

    assert log == ["connected", "hung up"]
    assert_counts(redis, released=1)


def test_generator_that_is_left_in_a_block_releases_it(redis: Redis) -> None:
    """A consumer who stops reading a generator that is inside the block has given the call up."""
    guarded = circuit_breaker(new_breaker(redis))(session)

    def read() -> Iterator[int]:
        with guarded():
            yield 1

    stream: Any = read()
    next(stream)
    stream.close()

    assert_counts(redis, released=1)


def test_guarded_manager_decorates(redis: Redis) -> None:
    """As any contextmanager it serves as a decorator as well, a call for each run."""
    guarded = circuit_breaker(new_breaker(redis))(session)

    @guarded("imagen")
    def work() -> int:
        return len(log)

    assert (work(), work()) == (1, 3)
    assert_counts(redis, success=2)


def test_breaker_may_be_under_the_manager(redis: Redis) -> None:
    """A manager over a guarded generator function is the same as the breaker over the manager."""

    @contextlib.contextmanager
    @circuit_breaker(new_breaker(redis))
    def guarded() -> Iterator[int]:
        yield 1

    with guarded() as entered:
        assert entered == 1
        assert_counts(redis, in_flight=1)
    assert_counts(redis, success=1)


def test_guarded_manager_keeps_what_it_says_of_itself(redis: Redis) -> None:
    """Name and signature are those of the manager, and guarding twice is two calls."""
    guarded = circuit_breaker(new_breaker(redis))(circuit_breaker(new_breaker(redis))(session))

    assert inspect.signature(guarded) == inspect.signature(session)
    assert guarded.__name__ == "session"
    with guarded():
        assert_counts(redis, in_flight=2)


def test_with_breaker_is_a_block_as_before(redis: Redis) -> None:
    """`with breaker:` around a guarded manager and inside it are calls of their own."""
    breaker = new_breaker(redis)
    guarded = circuit_breaker(breaker)(session)

    with breaker, guarded(), breaker:
        assert_counts(redis, in_flight=3)

    assert_counts(redis, success=3)


@WAYS
def test_async_block_is_one_call(redis: Redis, guard: Any) -> None:
    """An async block is rejected, in flight, a success, a failure or released as a block is."""

    async def run() -> None:
        breaker = new_async_breaker(redis)
        enter = guard(breaker, async_session)
        async with enter() as entered:
            assert (entered, log) == ("gemini", ["connected"])
            assert_counts(redis, in_flight=1)
        assert_counts(redis, success=1)
        with pytest.raises(ServiceDownError):
            async with enter():
                raise ServiceDownError
        assert_counts(redis, success=1, failure=1)
        await breaker.force_open()
        with pytest.raises(CircuitBreakerError):
            async with enter():
                pass
        assert_counts(redis, success=1, failure=1, rejected=1)
        assert log == ["connected", "hung up"] * 2

    asyncio.run(run())


@WAYS
def test_cancelled_async_block_is_released(redis: Redis, guard: Any) -> None:
    """A task that is cancelled inside the block has given its call up; the manager cleans up."""

    async def run() -> None:
        enter = guard(new_async_breaker(redis), async_session)

        async def stay() -> None:
            async with enter():
                await asyncio.Event().wait()

        task = asyncio.create_task(stay())
        await until_counts(redis, in_flight=1)
        while not log:  # noqa: ASYNC110
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until_counts(redis, released=1)
        assert log == ["connected", "hung up"]

    asyncio.run(run())


@WAYS
def test_async_block_that_is_never_left_is_released(redis: Redis, guard: Any) -> None:
    """An async manager that was entered and then dropped is released when it is collected."""

    async def run() -> None:
        manager = guard(new_async_breaker(redis), async_session)()
        await manager.__aenter__()
        del manager
        gc.collect()
        await until_counts(redis, released=1)

    asyncio.run(run())
