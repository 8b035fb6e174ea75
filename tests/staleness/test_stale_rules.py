"""Rules besides the default one where calls are decided on a view, or without Redis."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis
from stale_circuits import number_of_scripts, stale_breaker

from circuit_in_redis import (
    CircuitInRedis,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    trip_and_wait,
)
from sharedbreaker import (
    CircuitBreaker,
    CircuitState,
    FailureRate,
    LastCalls,
    Operator,
    Outcome,
    SlowCallRate,
)

HALF_OF_FOUR = FailureRate(0.5, LastCalls(10), minimum_calls=4)


def test_successes_on_a_view_are_in_the_rate(redis: Redis) -> None:
    """They are told together with the failure that looks at the rate."""
    breaker = stale_breaker(redis, failure_threshold=None, failure_rate=HALF_OF_FOUR)

    succeed(breaker, 3)
    fail(breaker, 2)
    assert breaker.get_state()["state"] == "closed"
    fail(breaker)

    assert breaker.get_state()["state"] == "open"
    assert CircuitInRedis(redis).field("failure_rate:calls") == "000111"


def end_after(breaker: Any, seconds: float, outcome: Outcome = Outcome.SUCCESS) -> None:
    admission = breaker.admit()
    assert admission.view is not None or not breaker._store.is_usual
    breaker.report(admission._replace(began=admission.began - seconds), outcome)


def test_slow_calls_on_a_view_are_told(redis: Redis) -> None:
    """Slow successes are held back like others, and told as slow."""
    rate = SlowCallRate(5, 0.5, LastCalls(10), minimum_calls=4)
    breaker = stale_breaker(redis, slow_call_rate=rate)
    succeed(breaker)

    for seconds in (5, 1, 5):
        end_after(breaker, seconds)
    assert breaker._store.view.measured_until > 0
    end_after(breaker, 6, Outcome.FAILURE)

    assert be_rejected(breaker).state is CircuitState.OPEN
    assert CircuitInRedis(redis).events()[-1]["slow"] == "3"


def test_each_call_of_a_ramp_asks(redis: Redis) -> None:
    """A view would let all calls through: there is none until the ramp is over."""
    breaker = stale_breaker(redis, success_threshold=1, ramp_up=3600)
    trip_and_wait(breaker, redis)
    breaker._store.doubt_view()
    succeed(breaker)
    succeed(breaker)
    assert be_rejected(breaker, 8).why == "ramping_up"

    CircuitInRedis(redis).set(ramp_until=1)
    succeed(breaker)
    before = number_of_scripts(redis)
    succeed(breaker, 20)

    assert number_of_scripts(redis) - before <= 1


def test_calls_in_flight_are_counted_at_once(redis: Redis) -> None:
    """With a limit there are no views: each call takes a lease."""
    one, other = (stale_breaker(redis, max_in_flight=1) for _ in range(2))
    succeed(one, 2)
    held = one.admit()

    assert be_rejected(other).why == "too_many_in_flight"
    one.report(held, Outcome.SUCCESS)
    succeed(other)


def test_observing_rejects_nothing_on_a_view(redis: Redis) -> None:
    """A view of an open circuit would reject: while only observing, each call asks."""
    breaker = stale_breaker(redis, mode="observe")

    fail(breaker, 3)
    succeed(breaker, 5)

    metrics = breaker.get_metrics()
    assert metrics["state"] == "open"
    assert metrics["observed_rejections"] == 5
    assert metrics["rejected_calls"] == 0


def test_observing_is_switched_on_for_processes_with_views(redis: Redis) -> None:
    """Tuned by an operator, it reaches a process that has declared to enforce."""
    breaker = stale_breaker(redis, 0.001)
    fail(breaker, 3)
    be_rejected(breaker)

    CircuitInRedis(redis).set(observe=1, rules="extended")
    breaker._store.doubt_view()
    succeed(breaker, 3)

    assert breaker.get_metrics()["mode"] == "observe"


@pytest.fixture
def alone(redis: Redis) -> Redis:
    """A Redis that no breaker can use."""
    redis.set("sharedbreaker:{orders}", "not a hash")
    return redis


def new_lonely_breaker(redis: Redis, **settings: Any) -> CircuitBreaker:
    breaker = new_breaker(redis, redis_retry_interval=3600, **settings)
    succeed(breaker)
    assert not breaker.get_metrics()["redis_available"]
    return breaker


def test_rates_decide_without_redis(alone: Redis) -> None:
    """The process goes by the same rules."""
    breaker = new_lonely_breaker(alone, failure_threshold=None, failure_rate=HALF_OF_FOUR)

    succeed(breaker)
    fail(breaker, 2)

    assert be_rejected(breaker).why == "open"


def test_slow_calls_decide_without_redis(alone: Redis) -> None:
    """By the process' own clock, as with Redis."""
    rate = SlowCallRate(5, 0.5, LastCalls(10), minimum_calls=2)
    breaker = new_lonely_breaker(alone, slow_call_rate=rate)

    admission: Any = breaker.admit()
    breaker.report(admission._replace(began=admission.began - 5), Outcome.SUCCESS)

    assert be_rejected(breaker).why == "open"


@pytest.mark.parametrize("on_redis_error", ["local", "reject"])
def test_observing_rejects_nothing_without_redis(alone: Redis, on_redis_error: str) -> None:
    """Neither by the process' own circuit nor because Redis is away."""
    breaker = new_lonely_breaker(alone, mode="observe", on_redis_error=on_redis_error)

    fail(breaker, 3)
    succeed(breaker, 2)

    assert breaker.get_metrics()["state"] == "open"
    assert breaker.get_metrics()["rejected_calls"] == 0


def test_limit_in_flight_holds_for_each_process_without_redis(alone: Redis) -> None:
    """Nobody knows the fleet's calls then; each process keeps to the limit by itself."""
    breaker = new_lonely_breaker(alone, max_in_flight=2)
    held = [breaker.admit(), breaker.admit()]

    assert be_rejected(breaker).why == "too_many_in_flight"
    breaker.report(held[0], Outcome.SUCCESS)
    succeed(breaker)


@pytest.mark.parametrize("on_redis_error", ["local", "reject"])
def test_what_an_operator_observes_is_observed_without_redis_too(redis: Redis, on_redis_error: str) -> None:
    """A process that declared to enforce has learnt otherwise from the last answer it had."""
    breaker = new_breaker(redis, redis_retry_interval=3600, on_redis_error=on_redis_error)
    succeed(breaker)
    Operator("orders", redis=breaker.redis).observe("try it out")
    succeed(breaker)
    key = CircuitInRedis(redis).key
    redis.rename(key, "sharedbreaker:{orders}:events-of-before")
    redis.set(key, "not a hash")

    fail(breaker, 3)
    succeed(breaker, 2)

    assert not breaker.get_metrics()["redis_available"]
    assert breaker.get_metrics()["rejected_calls"] == 0
    redis.delete(key, "sharedbreaker:{orders}:events-of-before")
