"""Redis goes away, or loses its data, while tallies are held back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest
from redis import Redis
from stale_circuits import LONG, STALENESS, hold, stale_breaker, unwritten, wait_until

from circuit_in_redis import CircuitInRedis, be_ignored, be_rejected, fail, succeed
from sharedbreaker import CircuitBreaker, CircuitBreakerError
from sharedbreaker.demo.redis_server import RedisServer

QUICK: dict[str, Any] = {"redis_timeout": 0.25, "redis_retry_interval": 0.05}


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of the test's own, which it may stop."""
    with RedisServer() as server:
        yield server


def _circuit(server: RedisServer) -> CircuitInRedis:
    return CircuitInRedis(server.client(decode_responses=True))


def _numbers(server: RedisServer, *names: str) -> dict[str, int]:
    circuit = _circuit(server)
    try:
        return circuit.numbers(*names)
    finally:
        circuit.redis.close()


def _wait_until_told(breaker: CircuitBreaker) -> None:
    def is_told() -> bool:
        metrics = breaker.get_metrics()
        return metrics["redis_available"] and not metrics["unwritten_calls"]

    wait_until(is_told, "Redis is there and was told of everything")


def test_what_was_held_back_when_redis_was_flushed_is_tallied(redis: Redis) -> None:
    """FLUSHALL takes what was written. What was held back comes into the new circuit as late results."""
    breaker = stale_breaker(redis)
    hold(breaker, 4)
    redis.flushall()
    fail(breaker)
    assert CircuitInRedis(redis).numbers("successful_calls", "failed_calls", "late_results") == {
        "successful_calls": 4,
        "failed_calls": 1,
        "late_results": 5,
    }
    fail(breaker, 3)
    be_rejected(breaker)


def test_the_timer_tells_a_flushed_redis(redis: Redis) -> None:
    """So does the timer, without a further call: it declares the circuit anew."""
    breaker = stale_breaker(redis, STALENESS)
    hold(breaker, 0)
    succeed(breaker, 4)
    redis.flushall()
    circuit = CircuitInRedis(redis)
    wait_until(lambda: circuit.fields().get("successful_calls") == "4", "the new circuit is told", 5)
    assert circuit.field("state") == "closed"


def test_what_was_held_back_when_redis_restarts_empty_is_tallied(server: RedisServer) -> None:
    """A server that comes back without data and without scripts is told as well."""
    breaker = stale_breaker(server.url, **QUICK)
    hold(breaker, 4)
    server.kill()
    server.start()
    fail(breaker)
    _wait_until_told(breaker)
    assert _numbers(server, "successful_calls", "failed_calls") == {"successful_calls": 4, "failed_calls": 1}


def test_what_was_held_back_before_an_outage_is_told_after_it(server: RedisServer) -> None:
    """Calls from before, during and after an outage are all tallied, each once."""
    breaker = stale_breaker(server.url, failure_threshold=100, **QUICK)
    hold(breaker, 4)
    be_ignored(breaker)
    server.stop()
    fail(breaker, 2)
    succeed(breaker, 30)
    be_ignored(breaker, 2)
    assert unwritten(breaker) == 4 + 1 + 2 + 30 + 2
    server.start()
    _wait_until_told(breaker)
    # What was in Redis went with it.
    assert _numbers(server, "successful_calls", "failed_calls", "ignored_calls") == {
        "successful_calls": 34,
        "failed_calls": 2,
        "ignored_calls": 3,
    }


def test_an_outage_that_no_call_sees_is_over_by_itself(server: RedisServer) -> None:
    """Where the timer finds Redis away and traffic has stopped, it tells when Redis is there again."""
    breaker = stale_breaker(server.url, STALENESS, **QUICK)
    hold(breaker, 0)
    succeed(breaker, 4)
    server.stop()
    wait_until(breaker._store._is_away, "the timer has found Redis away", 5)
    server.start()
    circuit = _circuit(server)
    wait_until(lambda: circuit.fields().get("successful_calls") == "4", "the timer tells", 5)
    circuit.redis.close()


def test_calls_during_an_outage_are_told_without_further_ones(server: RedisServer) -> None:
    """What a process decided by itself is told by the timer too, where traffic has stopped."""
    breaker = stale_breaker(server.url, STALENESS, **QUICK)
    hold(breaker, 0)
    server.stop()
    fail(breaker)
    succeed(breaker, 9)
    server.start()
    circuit = _circuit(server)
    wait_until(lambda: circuit.fields().get("successful_calls") == "9", "the timer tells", 5)
    assert circuit.number("failed_calls") == 1
    circuit.redis.close()


def test_a_view_is_good_for_its_time_also_without_redis(server: RedisServer) -> None:
    """An outage that is shorter than the view's time, and without failures, is not even noticed."""
    breaker = stale_breaker(server.url, LONG, **QUICK)
    hold(breaker, 0)
    server.stop()
    succeed(breaker, 100)
    server.start()
    succeed(breaker)
    assert breaker.get_metrics()["redis_available"]
    assert unwritten(breaker) == 101


@pytest.mark.parametrize("on_redis_error", ["local", "allow", "reject"])
def test_each_way_without_redis(server: RedisServer, on_redis_error: str) -> None:
    """Once the view is too old, what was asked for decides: the same rules, all calls, or none."""
    breaker = stale_breaker(server.url, 0.05, on_redis_error=on_redis_error, **QUICK)
    hold(breaker, 3)
    server.stop()
    wait_until(lambda: monotonic() > breaker._store.view.closed_until, "the view is too old")
    ran = _outcomes(breaker, 5)
    expected = {
        "local": ["failure", "failure", "failure", "rejected", "rejected"],
        "allow": ["failure"] * 5,
        "reject": ["rejected"] * 5,
    }
    assert ran == expected[on_redis_error]
    server.start()
    _wait_until_told(breaker)
    numbers = _numbers(server, "failed_calls", "rejected_calls")
    assert numbers == {"failed_calls": ran.count("failure"), "rejected_calls": ran.count("rejected")}


def _outcomes(breaker: CircuitBreaker, times: int) -> list[str]:
    return [_outcome(breaker) for _ in range(times)]


def _outcome(breaker: CircuitBreaker) -> str:
    try:
        fail(breaker)
    except CircuitBreakerError:
        return "rejected"
    return "failure"


def test_a_redis_that_hangs_holds_no_call_for_long(server: RedisServer) -> None:
    """A frozen server: calls on the view go on, and what was held back is told when it thaws."""
    breaker = stale_breaker(server.url, STALENESS, redis_timeout=0.05, redis_retry_interval=0.05)
    hold(breaker, 2)
    server.freeze()
    ends = monotonic() + 3 * STALENESS
    calls = 2
    while monotonic() < ends:
        succeed(breaker)
        calls += 1
        time.sleep(0.002)
    server.thaw()
    _wait_until_told(breaker)
    assert _numbers(server, "successful_calls", "failed_calls") == {
        "successful_calls": calls + 1,
        "failed_calls": 0,
    }
