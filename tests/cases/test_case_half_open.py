"""Half-open: who probes, and what comes of it. SB-001, SB-002, SB-011 and SB-012."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from case_views import EITHER_VIEW, open_and_over, pass_time
from case_worker import call_in_tasks, stay_inside_a_task
from held_call import HeldCall
from redis import Redis
from worker import call_in_threads, stay_inside
from workforce import Worker, wait_until, workers

from circuit_in_redis import LEASE_MS, OPEN_MS, PROBE_MS, be_rejected, fail, new_breaker, succeed
from sharedbreaker.demo.redis_server import RedisServer

CALLERS_EACH = 8


@pytest.fixture(scope="module")
def upstream_server() -> Iterator[RedisServer]:
    """The service that the fleet calls: a Redis of its own that counts its callers."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def upstream(upstream_server: RedisServer) -> Iterator[Redis]:
    client = upstream_server.client(decode_responses=True)
    client.flushall()
    yield client
    client.close()


@pytest.mark.parametrize(
    ("processes", "places", "max_staleness"), [(8, 1, 0), (3, 3, 3600)], ids=["one place", "three, stale"]
)
def test_sb001_only_as_many_of_a_fleet_reach_the_service_as_there_are_places(
    redis_server: RedisServer,
    upstream_server: RedisServer,
    redis: Redis,
    upstream: Redis,
    breaker_kind: str,
    processes: int,
    places: int,
    max_staleness: float,
) -> None:
    """Of 64 callers in 8 processes that come when the open time is over as many run as there are places."""
    callers = processes * CALLERS_EACH
    settings: dict[str, Any] = {
        "url": redis_server.url,
        "upstream_url": upstream_server.url,
        "success_threshold": places,
        "half_open_max_calls": places,
        "max_staleness": max_staleness,
    }
    each: dict[str, Any] = {"tasks" if breaker_kind == "async" else "threads": CALLERS_EACH}
    task = call_in_tasks if breaker_kind == "async" else call_in_threads
    with workers(processes, task, **settings, **each) as crew:
        _, circuit = open_and_over(redis)
        for worker in crew:
            worker.tell()
        wait_until(lambda: int(upstream.get("rejected_half_open") or 0) == callers - places)
        inside = int(upstream.get("inside") or 0)
        upstream.rpush("let_go", *range(places))
        ends = [end for worker in crew for end in worker.answer()]

    assert inside == places
    assert sorted(ends) == ["rejected_half_open"] * (callers - places) + ["success"] * places
    assert circuit.transitions() == {"closed_to_open": 1, "open_to_half_open": 1, "half_open_to_closed": 1}
    assert circuit.number("rejected_calls") == callers - places


@EITHER_VIEW
def test_sb002_place_of_a_killed_prober_is_free_when_its_lease_is_over(
    redis_server: RedisServer, redis: Redis, breaker_kind: str, max_staleness: float
) -> None:
    """While the lease of a killed prober lives all are rejected; then one is admitted, and closes."""
    one_place = {"success_threshold": 1, "half_open_max_calls": 1, "max_staleness": max_staleness}
    breaker, circuit = open_and_over(redis, **one_place)
    task = stay_inside_a_task if breaker_kind == "async" else stay_inside
    times = {"timeout": OPEN_MS / 1000, "probe_timeout": PROBE_MS / 1000, "lease_timeout": LEASE_MS / 1000}
    prober = Worker(task, url=redis_server.url, **one_place, **times)
    prober.hear("inside")
    prober.kill()

    pass_time(circuit, PROBE_MS // 2)
    be_rejected(breaker)
    pass_time(circuit, PROBE_MS // 2)
    successor = HeldCall(breaker)
    assert successor.is_inside
    be_rejected(new_breaker(redis, **one_place))
    successor.end()

    assert circuit.field("state") == "closed"
    assert circuit.leases() == {}
    assert circuit.number("lost_calls") == 1
    assert set(redis.scan_iter()) <= {
        circuit.key,
        circuit.events_key,
        circuit.registry_key,
        f"{circuit.key}:batches",
    }
    succeed(breaker)


@EITHER_VIEW
def test_sb011_successes_of_a_recovery_that_failed_do_not_count_in_the_next(
    redis: Redis, max_staleness: float
) -> None:
    """Each half-open time needs all of its own successes to close."""
    breaker, circuit = open_and_over(redis, success_threshold=3, max_staleness=max_staleness)
    succeed(breaker, 2)
    assert circuit.number("success_count") == 2
    fail(breaker)
    assert circuit.field("state") == "open"
    pass_time(circuit, OPEN_MS)

    succeed(breaker)
    assert (circuit.field("state"), circuit.number("success_count")) == ("half_open", 1)
    succeed(breaker)
    assert circuit.field("state") == "half_open"
    succeed(breaker)

    assert circuit.field("state") == "closed"
    assert circuit.number("half_open_to_closed") == 1


@EITHER_VIEW
def test_sb012_one_failed_probe_opens_again_for_the_whole_timeout(redis: Redis, max_staleness: float) -> None:
    """Whatever the threshold of the closed state, one failure in half-open opens for a whole new time."""
    breaker, circuit = open_and_over(redis, failure_threshold=5, max_staleness=max_staleness)
    before_ms = circuit.now_ms()

    fail(breaker)

    assert circuit.transitions() == {"closed_to_open": 1, "open_to_half_open": 1, "half_open_to_open": 1}
    assert circuit.field("state") == "open"
    assert circuit.leases() == {}
    assert before_ms <= circuit.number("opened_at") == circuit.number("open_until") - OPEN_MS
    be_rejected(breaker)
    pass_time(circuit, OPEN_MS)
    succeed(breaker, 2)
    assert circuit.field("state") == "closed"
    fail(breaker, 4)
    assert circuit.field("state") == "closed"
