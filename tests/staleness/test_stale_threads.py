"""Many threads on one view: each call counts once."""

from __future__ import annotations

import threading
import time
from time import monotonic
from typing import Any

import pytest
from redis import Redis
from stale_circuits import (
    stale_breaker,
    unwritten,
    wait_until,
)

from circuit_in_redis import (
    CircuitInRedis,
    be_ignored,
    fail,
    new_breaker,
    succeed,
)
from sharedbreaker import CircuitBreaker, CircuitBreakerError, Outcome

THREADS = 8
CALLS_PER_THREAD = 400


def _hammer(do: Any, threads: int = THREADS) -> None:
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            do(number)
        except BaseException as error:
            errors.append(error)

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(60)
    assert not errors, errors


def _mixed_call(breaker: CircuitBreaker, number: int) -> None:
    kind = number % 8
    if kind == 0:
        fail(breaker)
    elif kind == 1:
        be_ignored(breaker)
    elif kind == 2:
        with breaker:
            pass
    elif kind == 3:
        breaker.report(breaker.admit(), Outcome.RELEASED)
    else:
        succeed(breaker)


@pytest.mark.parametrize("max_staleness", [0.005, 0.05])
def test_eight_threads_are_tallied_exactly(redis: Redis, max_staleness: float) -> None:
    """Eight threads that hammer one breaker in every way, over many renewals: each call counts once."""
    breaker = stale_breaker(redis, max_staleness, failure_threshold=10**6)

    def calls(thread: int) -> None:
        for number in range(CALLS_PER_THREAD):
            _mixed_call(breaker, number + thread)

    _hammer(calls)
    wait_until(lambda: unwritten(breaker) == 0, "all is written")
    all_calls = THREADS * CALLS_PER_THREAD
    assert CircuitInRedis(redis).tallies() == {
        "successful_calls": all_calls * 5 // 8,
        "failed_calls": all_calls // 8,
        "ignored_calls": all_calls // 8,
        "released_calls": all_calls // 8,
        "rejected_calls": 0,
        "lost_calls": 0,
        "late_results": 0,
    }


def _passes(breaker: CircuitBreaker) -> bool:
    try:
        breaker.call(time.sleep, 0.0001)
    except CircuitBreakerError:
        return False
    return True


def test_eight_threads_are_tallied_exactly_over_transitions(redis: Redis) -> None:
    """The same while the circuit is opened and closed by hand all the time: each call counts once."""
    breaker = stale_breaker(redis, 0.01, failure_threshold=10**6)
    other = new_breaker(redis)
    passed, rejected = [0] * THREADS, [0] * THREADS
    ends = monotonic() + 0.6

    def calls(thread: int) -> None:
        if thread == 0:
            while monotonic() < ends:
                other.force_open("maintenance")
                time.sleep(0.01)
                other.force_close("done")
                time.sleep(0.01)
            return
        while monotonic() < ends:
            (passed if _passes(breaker) else rejected)[thread] += 1

    _hammer(calls)
    wait_until(lambda: unwritten(breaker) == 0, "all is written")
    circuit = CircuitInRedis(redis)
    assert circuit.numbers("successful_calls", "rejected_calls") == {
        "successful_calls": sum(passed),
        "rejected_calls": sum(rejected),
    }
    assert sum(passed) > 0
    assert sum(rejected) > 0
