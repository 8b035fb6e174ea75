"""Scripts that ran and were never answered: after the timeout nothing counts twice or loses its place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from cutting_proxy import CuttingProxy
from redis import Redis

from circuit_in_redis import (
    CircuitInRedis,
    be_ignored,
    fail,
    new_breaker,
    succeed,
    trip,
    trip_and_wait,
)
from sharedbreaker import CircuitBreaker, CircuitBreakerError
from sharedbreaker.demo.redis_server import RedisServer


@pytest.fixture
def proxy(redis_server: RedisServer, redis: Redis) -> Iterator[CuttingProxy]:
    with CuttingProxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture
def breaker(proxy: CuttingProxy) -> CircuitBreaker:
    breaker = new_breaker(proxy.url, redis_timeout=0.3, redis_retry_interval=0.001)
    succeed(breaker)
    # A slow machine may have been an outage: no test begins with calls that are not told yet.
    catch_up(breaker)
    return breaker


def catch_up(breaker: CircuitBreaker) -> int:
    """Call until Redis has answered and is owed nothing; return how many calls it took."""
    for made in range(5000):
        metrics = breaker.get_metrics()
        if metrics.get("redis_available", True) and not metrics.get("unwritten_calls"):
            return made
        succeed(breaker)
    raise AssertionError("Redis never answered again")


@pytest.mark.parametrize("step", [succeed, fail, be_ignored])
@pytest.mark.parametrize("script", ["admit", "report"])
def test_call_counts_once(
    breaker: CircuitBreaker,
    proxy: CuttingProxy,
    redis: Redis,
    script: str,
    step: Callable[[CircuitBreaker], None],
) -> None:
    """A call of which a script was not answered is in one tally, and its lease is gone."""
    circuit = CircuitInRedis(redis)
    circuit.set(successful_calls=0)
    proxy.lose_reply_to(script, silently=True)

    step(breaker)
    further = catch_up(breaker)

    assert proxy.lost == 1
    assert circuit.numbers("successful_calls", "failed_calls", "ignored_calls") == {
        "successful_calls": further + (step is succeed),
        "failed_calls": int(step is fail),
        "ignored_calls": int(step is be_ignored),
    }
    assert circuit.leases() == {}


def test_tripping_failure_trips_once(breaker: CircuitBreaker, proxy: CuttingProxy, redis: Redis) -> None:
    """The report that opens the circuit, told again after the timeout, opens it once."""
    circuit = CircuitInRedis(redis)
    fail(breaker, 2)
    proxy.lose_reply_to("report", silently=True)

    fail(breaker)

    assert circuit.transitions() == {"closed_to_open": 1}
    assert circuit.number("failed_calls") == 3


def test_probe_does_not_keep_its_place(breaker: CircuitBreaker, proxy: CuttingProxy, redis: Redis) -> None:
    """A probe whose admission was not answered does not block recovery until its lease ends."""
    circuit = CircuitInRedis(redis)
    circuit.set(half_open_max_calls=1)
    trip(breaker, redis)
    circuit.end_open_period()
    proxy.lose_reply_to("admit", silently=True)
    try_call(breaker)

    for _ in range(5000):
        if circuit.field("state") == "closed":
            break
        try_call(breaker)

    assert proxy.lost == 1
    assert circuit.field("state") == "closed"
    assert circuit.number("lost_calls") == 0
    assert circuit.leases() == {}


def try_call(breaker: CircuitBreaker) -> None:
    """A call that may be let through or rejected."""
    with contextlib.suppress(CircuitBreakerError):
        succeed(breaker)
    breaker.get_metrics()


def test_probes_success_closes_once(breaker: CircuitBreaker, proxy: CuttingProxy, redis: Redis) -> None:
    """The probe whose closing report was not answered closes the circuit once."""
    circuit = trip_and_wait(breaker, redis)
    succeed(breaker)
    proxy.lose_reply_to("report", silently=True)

    succeed(breaker)

    assert circuit.field("state") == "closed"
    assert circuit.transitions() == {"closed_to_open": 1, "open_to_half_open": 1, "half_open_to_closed": 1}


@pytest.mark.parametrize("silently", [True, False], ids=["no answer", "cut"])
def test_observed_call_leaves_one_lease_and_none_in_the_end(
    proxy: CuttingProxy, redis: Redis, *, silently: bool
) -> None:
    """An admission that was only observed is withdrawn or asked for again like any other."""
    fail(new_breaker(redis, mode="observe"), 3)
    breaker = new_breaker(proxy.url, redis_timeout=0.3, redis_retry_interval=0.001, mode="observe")
    succeed(breaker)
    catch_up(breaker)
    circuit = CircuitInRedis(redis)
    assert circuit.field("state") == "open"
    proxy.lose_reply_to("admit", silently=silently)
    seen: list[int] = []

    breaker.call(partial(look_at, circuit, seen))
    catch_up(breaker)

    assert proxy.lost == 1
    assert seen == [1]
    assert circuit.leases() == {}


def look_at(circuit: CircuitInRedis, seen: list[int]) -> None:
    seen.append(len(circuit.leases()))
