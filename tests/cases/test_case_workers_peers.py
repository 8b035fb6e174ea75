"""What peers do wrong in workers, and when they are made: columns of the comparison that no case covers."""

from __future__ import annotations

from typing import Any

import pytest
from case_variants import both_kinds, strict_and_stale
from redis import Redis

from circuit_in_redis import CircuitInRedis, be_rejected, fail, new_breaker, succeed
from sharedbreaker.demo.redis_server import RedisServer, free_port


def round_trips(redis: Redis) -> int:
    """How many scripts clients sent since the last reset."""
    stats: Any = redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"] for command in ("evalsha", "eval"))


@both_kinds
@strict_and_stale
def test_peer_round_trips_of_a_call(
    redis_server: RedisServer, redis: Redis, breaker_kind: str, max_staleness: float
) -> None:
    """A call is two round trips, a rejection one; on a view neither asks, and a failure is written by one."""
    breaker = new_breaker(redis_server.url, max_staleness=max_staleness)
    succeed(breaker)
    fail(breaker)
    counted = {}
    for what, work in {"success": succeed, "failure": fail}.items():
        redis.config_resetstat()
        work(breaker)
        counted[what] = round_trips(redis)
    fail(breaker)
    fail(breaker)
    be_rejected(breaker)
    redis.config_resetstat()
    be_rejected(breaker)
    counted["rejection"] = round_trips(redis)

    if max_staleness:
        assert counted == {"success": 0, "failure": 1, "rejection": 0}
    else:
        assert counted == {"success": 2, "failure": 2, "rejection": 1}


@both_kinds
@strict_and_stale
def test_peer_worker_that_starts_while_it_is_open_lets_nothing_through(
    redis_server: RedisServer, redis: Redis, max_staleness: float
) -> None:
    """Where the circuit is open a new worker is rejected at its first call, and at each after it."""
    fail(new_breaker(redis_server.url), 3)

    newcomer = new_breaker(redis_server.url, max_staleness=max_staleness)
    be_rejected(newcomer, 20)

    assert CircuitInRedis(redis).number("successful_calls") == 0


@both_kinds
def test_peer_named_circuits_do_not_trip_each_other(redis_server: RedisServer, redis: Redis) -> None:
    """Two breakers of two names over one client share nothing but the server."""
    text, vision = (new_breaker(redis_server.url, name=name) for name in ("text", "vision"))
    fail(text, 3)

    succeed(vision)

    be_rejected(text)
    assert CircuitInRedis(redis, "vision").number("failed_calls") == 0


@both_kinds
@strict_and_stale
def test_peer_worker_that_starts_without_redis_calls(max_staleness: float) -> None:
    """A worker that starts while Redis is away is made, calls, and protects by the local rules."""
    url = f"redis://127.0.0.1:{free_port()}/0"

    breaker = new_breaker(url, max_staleness=max_staleness, redis_retry_interval=60)
    succeed(breaker)
    fail(breaker, 3)

    assert be_rejected(breaker).why == "open"


@both_kinds
@pytest.mark.parametrize("emptied_by", ["FLUSHALL", "DEL"])
@strict_and_stale
def test_peer_emptied_redis_costs_no_call_an_error(
    redis_server: RedisServer, redis: Redis, emptied_by: str, max_staleness: float
) -> None:
    """Where the circuit's keys are gone, and the scripts with them, the next call runs and declares anew."""
    breaker = new_breaker(redis_server.url, max_staleness=max_staleness)
    succeed(breaker)
    if emptied_by == "FLUSHALL":
        redis.flushall()
        redis.script_flush()
    else:
        redis.delete("sharedbreaker:{orders}")

    succeed(breaker)
    if max_staleness:
        fail(
            breaker
        )  # on a view of the circuit that is gone: the report finds that out, and counts for no other
    fail(breaker, 3)

    be_rejected(breaker)
    assert CircuitInRedis(redis).field("state") == "open"
    assert breaker.get_metrics()["redis_available"] is True
