"""Cases SB-082 and SB-108: threads and tasks that must not wait for each other, and what is pickled."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
from case_pickled import COUNTED, guarded_function, raise_every_attribute
from case_variants import both_kinds, strict_and_stale
from celery import Celery
from celery.backends.base import BaseBackend
from celery.exceptions import Retry
from cutting_proxy import CuttingProxy
from redis import Redis

import sharedbreaker
from circuit_in_redis import CircuitInRedis, new_breaker, succeed
from sharedbreaker import (
    AsyncCircuitBreaker,
    CircuitBreaker,
    CircuitBreakerError,
    CircuitState,
    Operator,
    SharedBreakerError,
)
from sharedbreaker.demo.redis_server import RedisServer

TWENTY = 20
PATIENCE = 20


@both_kinds
@strict_and_stale
def test_sb082_twenty_threads_are_inside_at_once(
    redis_server: RedisServer, redis: Redis, max_staleness: float
) -> None:
    """Twenty threads are inside the guarded function at the same moment: nothing is held around the call."""
    breaker = new_breaker(redis_server.url, max_staleness=max_staleness)
    everybody_inside = threading.Barrier(TWENTY)
    ends: list[int] = []

    threads = [
        threading.Thread(target=lambda: ends.append(breaker.call(everybody_inside.wait, PATIENCE)))
        for _ in range(TWENTY)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert sorted(ends) == list(range(TWENTY))


@strict_and_stale
def test_sb082_twenty_tasks_are_inside_at_once(
    redis_server: RedisServer, redis: Redis, max_staleness: float
) -> None:
    """Twenty tasks of one loop are inside the guarded coroutine at the same moment."""

    async def whole() -> list[str]:
        breaker = AsyncCircuitBreaker(redis=redis_server.url, redis_timeout=5, max_staleness=max_staleness)
        everybody_inside = asyncio.Event()
        inside = 0

        async def guarded() -> str:
            nonlocal inside
            inside += 1
            if inside == TWENTY:
                everybody_inside.set()
            await everybody_inside.wait()
            return "done"

        calls = asyncio.gather(*(breaker.call(guarded) for _ in range(TWENTY)))
        return await asyncio.wait_for(calls, PATIENCE)

    assert asyncio.run(whole()) == ["done"] * TWENTY


@both_kinds
def test_sb082_slow_report_keeps_no_other_call_waiting(redis_server: RedisServer, redis: Redis) -> None:
    """While one thread's report waits for its reply, another thread is admitted, runs and reports."""
    with CuttingProxy(redis_server.port) as proxy:
        breaker = new_breaker(proxy.url, redis_timeout=PATIENCE)
        succeed(breaker)
        is_waiting, may_be_lost = threading.Event(), threading.Event()

        def meanwhile() -> None:
            is_waiting.set()
            may_be_lost.wait(PATIENCE)

        proxy.lose_reply_to("report", meanwhile=meanwhile)
        slow = threading.Thread(target=succeed, args=(breaker,))
        slow.start()
        assert is_waiting.wait(PATIENCE)

        succeed(breaker, 3)

        assert slow.is_alive()
        assert CircuitInRedis(redis).number("successful_calls") == 5
        may_be_lost.set()
        slow.join(PATIENCE)
        assert not slow.is_alive()
        assert CircuitInRedis(redis).number("successful_calls") == 5


def public_errors() -> list[SharedBreakerError]:
    """One of every public error, with all that it may carry."""
    refusal = CircuitBreakerError("orders", CircuitState.OPEN, 12.5, "held_open")
    kinds = [
        kind
        for kind in map(sharedbreaker.__dict__.get, sharedbreaker.__all__)
        if isinstance(kind, type) and issubclass(kind, SharedBreakerError) and kind is not CircuitBreakerError
    ]
    errors: list[SharedBreakerError] = [refusal, *(kind("what happened, and what to do") for kind in kinds)]
    for error in errors:
        error.__dict__["added"] = {"by": "the user"}
    return errors


ROUND_TRIPS: dict[str, Any] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {protocol}": lambda error, protocol=protocol: pickle.loads(  # noqa: S301 - our own
            pickle.dumps(error, protocol)
        )
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize("how", list(ROUND_TRIPS))
@pytest.mark.parametrize("error", public_errors(), ids=lambda error: type(error).__name__)
def test_sb108_errors_come_back_as_they_were(error: SharedBreakerError, how: str) -> None:
    """Every public error is the same after a copy or a pickle: class, message and each attribute."""
    again = ROUND_TRIPS[how](error)

    assert type(again) is type(error)
    assert (str(again), again.args) == (str(error), error.args)
    assert vars(again) == vars(error)


def test_sb108_list_of_errors_is_whole() -> None:
    """The errors tried here are all that the package shows, a refusal with all its attributes among them."""
    names = {type(error).__name__ for error in public_errors()}
    assert names >= {
        "CircuitBreakerError",
        "CircuitBusyError",
        "NoSuchCircuitError",
        "SettingsError",
        "StoreError",
    }
    refusal = public_errors()[0]
    assert isinstance(refusal, CircuitBreakerError)
    assert (refusal.name, refusal.state, refusal.retry_after) == ("orders", CircuitState.OPEN, 12.5)


@pytest.mark.parametrize("way", ["spawn", "forkserver"])
def test_sb108_refusal_comes_out_of_a_process_pool(redis_server: RedisServer, redis: Redis, way: str) -> None:
    """A refusal in a worker of a pool is raised where its result is asked for, and the pool lives."""
    breaker = CircuitBreaker(name=COUNTED, redis=redis_server.url, redis_timeout=5)
    breaker.force_open("maintenance", 600)

    with ProcessPoolExecutor(1, get_context(way)) as pool:
        with pytest.raises(CircuitBreakerError) as caught:
            pool.submit(raise_every_attribute, redis_server.url).result(PATIENCE)
        assert pool.submit(len, "alive").result(PATIENCE) == 5

    error = caught.value
    assert (error.name, error.state, error.why) == (COUNTED, CircuitState.OPEN, "held_open")
    assert error.retry_after == pytest.approx(600, abs=60)
    assert error.added == "in the worker"  # type: ignore[attr-defined]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_sb108_decorated_functions_are_pickled_by_reference(protocol: int) -> None:
    """A decorated function of a module is found again by its name, as any function is."""
    assert pickle.loads(pickle.dumps(guarded_function, protocol)) is guarded_function  # noqa: S301 - our own


@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_sb108_refusal_comes_out_of_celery_in_either_form(serializer: str) -> None:
    """What Celery stores of a refused task, as JSON too, and of a retry is the same refusal when it is read.

    Failed at first: out of JSON the refusal's state was the text ``open`` and no CircuitState.
    """
    backend = BaseBackend(app=Celery("tests"), serializer=serializer, accept=[serializer])
    refusal = public_errors()[0]

    stored = backend.encode(backend.prepare_exception(refusal, serializer))
    again = backend.exception_to_python(backend.decode(stored))
    retried = pickle.loads(pickle.dumps(Retry(exc=refusal, when=3))).exc  # noqa: S301 - our own

    for error in (again, retried):
        assert type(error) is CircuitBreakerError
        assert str(error) == str(refusal)
        assert error.state is CircuitState.OPEN
        assert (error.name, error.retry_after, error.why) == ("orders", 12.5, "held_open")


HANDLES = [CircuitBreaker, AsyncCircuitBreaker, Operator]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", HANDLES)
def test_sb108_breaker_that_is_pickled_is_refused_at_once(kind: Any, protocol: int) -> None:
    """A breaker in the arguments of a task is a TypeError at once, which names it and says what to do.

    Failed at first: it was an error about a lambda of ours, or about a lock, that named no circuit.
    """
    breaker = kind(name="orders", redis="redis://:hush-hush@localhost:6379/0")

    with pytest.raises(TypeError, match=r"'orders' cannot be pickled.*make one of that name") as caught:
        pickle.dumps((breaker.force_open, {"breaker": breaker}), protocol)

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("copy_of", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
@pytest.mark.parametrize("kind", HANDLES)
def test_sb108_copied_breaker_is_the_same_breaker(kind: Any, copy_of: Any) -> None:
    """A copied breaker, as in the copy of a configuration, is the breaker itself: there is but one circuit.

    Failed at first: a deep copy ended in an error about a lock, and a copy had the same calls under way.
    """
    breaker = kind(name="orders", redis="redis://localhost:6379/0")

    assert copy_of(breaker) is breaker
    assert copy_of({"breaker": breaker})["breaker"] is breaker
