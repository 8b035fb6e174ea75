"""Many threads lose Redis and have it again: each loss and each return is told once, and in turn."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from unittest import mock

import pytest
from topology_lifecycle import (
    is_shared,
    new_breaker,
    passes,
    succeed,
    wait_for_tallies,
    wait_until,
    wait_until_shared,
    wait_until_told,
)
from topology_outages import Place, frozen, place_of, running_server
from topology_traffic import Traffic

from sharedbreaker import CircuitBreaker
from sharedbreaker.demo.redis_server import RedisServer

THREADS = 16


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def place(server: RedisServer) -> Iterator[Place]:
    with place_of(server) as place:
        yield place


def test_changes_are_told_in_turn(place: Place) -> None:
    """Over many short outages under traffic losses and returns are told in turn, and no call is lost."""
    changes: list[bool] = []
    breaker = new_breaker(
        place.url, redis_timeout=0.5, redis_retry_interval=0.05, on_redis_change=changes.append
    )

    def is_told(change: bool, after: int) -> bool:
        return len(changes) > after and changes[-1] is change

    succeed(breaker)
    with Traffic([breaker], THREADS) as traffic:
        for _ in range(10):
            traffic.wait_for_calls(30)
            told = len(changes)
            place.proxy.refuse()
            wait_until(partial(is_told, False, told), "the loss is told")
            place.proxy.listen()
            wait_until(partial(is_told, True, told), "the return is told")
        traffic.wait_for_calls(100)

    counts = traffic.counts(breaker.name)
    wait_for_tallies(breaker, **{**counts, "success": counts["success"] + 1})
    assert changes == [False, True] * (len(changes) // 2)


@pytest.mark.sync_only("what it stops is found by its thread")
def test_return_at_the_very_moment_of_a_local_decision_is_told_once(place: Place) -> None:
    """A call that may not ask, and sees Redis return before it decides by itself, tells of no second loss."""
    changes: list[bool] = []
    breaker = new_breaker(
        place.url, redis_timeout=0.25, redis_retry_interval=0.05, on_redis_change=changes.append
    )
    succeed(breaker)
    guard = breaker._store._guard
    may_ask = guard.may_ask
    me = threading.get_ident()

    def answer_and_let_redis_return() -> bool:
        if threading.get_ident() != me or not outage.may_end:
            return may_ask()
        outage.end()
        other = threading.Thread(target=wait_until_shared, args=(breaker,), daemon=True)
        other.start()
        other.join()
        return False

    with mock.patch.object(guard, "may_ask", answer_and_let_redis_return), EndingOutage(place) as outage:
        succeed(breaker)
        outage.may_end = True
        wait_until(lambda: breaker.call(lambda: not outage.may_end), "Redis returns")
        wait_until_told(changes)
    assert changes == [False, True]


class EndingOutage:
    """A frozen server that may be thawed from within."""

    def __init__(self, place: Place) -> None:
        self.may_end = False
        self._place = place
        self._stack = ExitStack()

    def __enter__(self) -> EndingOutage:
        self._stack.enter_context(frozen(self._place))
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def end(self) -> None:
        self.may_end = False
        self._stack.close()


def test_failing_callback_changes_nothing(place: Place) -> None:
    """An exception in on_redis_change reaches no caller, and the change takes place."""

    def raise_always(available: bool) -> None:
        raise RuntimeError(f"{available}")

    breaker = new_breaker(
        place.url, redis_timeout=0.25, redis_retry_interval=0.1, on_redis_change=raise_always
    )
    succeed(breaker)
    with frozen(place):
        succeed(breaker, 5)
    wait_for_tallies(breaker, success=6)


class LosesRedisWhenItReturns(logging.Handler):
    """A log handler to whom the line of a return takes so long that Redis is gone once more."""

    def __init__(self, place: Place, lose: threading.Thread) -> None:
        super().__init__()
        self._place = place
        self._lose = lose

    def emit(self, record: logging.LogRecord) -> None:
        if "answers again" in record.getMessage() and self._lose.ident is None:
            self._place.proxy.refuse()
            self._lose.start()
            # Whoever tells of the loss may have to wait for the return to be told.
            self._lose.join(0.5)


def test_last_news_is_true(place: Place) -> None:
    """A return whose telling takes long is not told after the loss that follows it."""
    changes: list[bool] = []
    breaker = new_breaker(
        place.url, redis_timeout=0.25, redis_retry_interval=0.05, on_redis_change=changes.append
    )
    succeed(breaker)
    lose = threading.Thread(target=wait_until, args=(lambda: passes_alone(breaker), "a loss"), daemon=True)
    handler = LosesRedisWhenItReturns(place, lose)
    logger = logging.getLogger("sharedbreaker")
    logger.addHandler(handler)
    try:
        place.proxy.refuse()
        succeed(breaker)
        place.proxy.listen()
        wait_until(lambda: passes(breaker) and lose.ident is not None, "Redis returns and is lost")
        lose.join()
        wait_until(lambda: len(changes) >= 3, "a loss, a return and a loss are told")
    finally:
        logger.removeHandler(handler)

    assert changes == [False, True, False]


def passes_alone(breaker: CircuitBreaker) -> bool:
    """Whether a call runs and the process decides by itself."""
    return passes(breaker) and not is_shared(breaker)
