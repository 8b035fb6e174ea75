"""Many threads of one process without Redis: few wait, few lines are logged, and one change is told."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis
from topology_lifecycle import (
    SCHEDULING,
    SharedCircuit,
    be_rejected,
    fail,
    is_shared,
    new_breaker,
    succeed,
    wait_for_tallies,
    wait_until,
    wait_until_shared,
    wait_until_told,
)
from topology_outages import (
    OUTAGES,
    OUTAGES_THAT_HANG,
    Outage,
    Place,
    hanging_dns,
    name_of,
    place_of,
    running_server,
)
from topology_traffic import Traffic

from sharedbreaker import observation
from sharedbreaker.demo.redis_server import RedisServer

REDIS_TIMEOUT = 0.5
RETRY_INTERVAL = 0.4
THREADS = 16
ATTEMPT_THREADS = "sharedbreaker-redis"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def place(server: RedisServer) -> Iterator[Place]:
    with place_of(server) as place:
        yield place


@contextmanager
def asked_questions() -> Iterator[list[float]]:
    """Yield a list that grows by the moment at which each question to Redis began, once it has ended."""
    asked: list[float] = []
    end = observation.observe_redis(
        lambda step, seconds, *, answered: asked.append(time.monotonic() - seconds)
    )
    try:
        yield asked
    finally:
        end()


def attempts() -> set[threading.Thread]:
    """The threads that try to reach a Redis, whosever they are."""
    return {thread for thread in threading.enumerate() if thread.name == ATTEMPT_THREADS}


@pytest.mark.parametrize("outage", OUTAGES_THAT_HANG, ids=name_of)
def test_one_call_waits_in_each_interval(
    place: Place, caplog: pytest.LogCaptureFixture, outage: Outage
) -> None:
    """After the first moment one call of all threads and circuits waits in each interval, and no other."""
    names = [f"circuit-{number}" for number in range(4)]
    changes: dict[str, list[bool]] = {name: [] for name in names}
    breakers = [
        new_breaker(
            place.url,
            name=name,
            redis_timeout=REDIS_TIMEOUT,
            redis_retry_interval=RETRY_INTERVAL,
            on_redis_change=changes[name].append,
        )
        for name in names
    ]
    for breaker in breakers:
        succeed(breaker)
    with (
        asked_questions() as asked,
        caplog.at_level(logging.WARNING, "sharedbreaker"),
        Traffic(breakers, THREADS) as traffic,
    ):
        traffic.wait_for_calls(100)
        with outage(place):
            first_moment_ends = time.monotonic() + 2 * REDIS_TIMEOUT
            goal = traffic.calls + 2000

            def later() -> list[float]:
                return [began for began in list(asked) if began > first_moment_ends]

            def was_tried_twice() -> bool:
                # A lookup that hangs is not begun again, so no later call waits for it.
                return len(later()) >= 2 or (
                    outage is hanging_dns and time.monotonic() > first_moment_ends + 2 * RETRY_INTERVAL
                )

            wait_until(lambda: traffic.calls > goal and was_tried_twice(), "2000 calls and two tries")
            tries = len(later())
            returns = max(told.count(True) for told in changes.values())
            seconds = time.monotonic() - first_moment_ends
        wait_until_shared(*breakers)
        traffic.wait_for_calls(100)

    # And one that had been let through before the first moment was over. An answer from before the outage
    # that a busy machine reads late looks like a return, after which everybody asks once.
    assert tries <= 2 + seconds / RETRY_INTERVAL + returns * THREADS
    assert traffic.longest < REDIS_TIMEOUT + SCHEDULING + traffic.stood_still
    assert len(caplog.records) <= 2 * len(breakers)
    for told in changes.values():
        wait_until_told(told)
    # A machine that stands still for redis_timeout afterwards makes an outage of its own.
    assert [told[:2] for told in changes.values()] == [[False, True]] * len(breakers)
    for breaker in breakers:
        counts = traffic.counts(breaker.name)
        wait_for_tallies(breaker, **{**counts, "success": counts["success"] + 1})
        assert SharedCircuit(place.admin, breaker.name).leases() == 0


@pytest.mark.parametrize("outage", OUTAGES, ids=name_of)
def test_few_lines_for_many_calls(place: Place, caplog: pytest.LogCaptureFixture, outage: Outage) -> None:
    """Two thousand calls during an outage leave a handful of lines, and one of them names the address."""
    breaker = new_breaker(place.url, redis_timeout=0.2, redis_retry_interval=0.01)
    succeed(breaker)
    with caplog.at_level(logging.DEBUG, "sharedbreaker"):
        with outage(place):
            fail(breaker, 3)
            be_rejected(breaker, 2000)
        wait_until_shared(breaker)
        wait_until(lambda: len(caplog.records) >= 2, "the loss and the return are logged")

    assert len(caplog.records) <= 5
    assert str(place.proxy.port) in caplog.text
    assert all(record.exc_info is None for record in caplog.records)


def test_hanging_lookups_do_not_pile_up(place: Place) -> None:
    """While the lookup of a name hangs, one thread per connection waits for it, however often one tries."""
    breaker = new_breaker(place.url, redis_timeout=0.2, redis_retry_interval=0.02)
    before = place.names.lookups
    of_other_tests = attempts()
    with hanging_dns(place), Traffic([breaker], threads=8) as traffic:
        wait_until(lambda: traffic.calls > 1500, "many tries")
        hanging = place.names.hanging
        wait_until(lambda: len(attempts() - of_other_tests) <= 8, "one thread per connection waits")
    assert 1 <= hanging <= 8
    assert hanging == place.names.lookups - before

    wait_for_tallies(breaker, success=traffic.counts(breaker.name)["success"])
    wait_until(lambda: place.names.hanging == 0, "all lookups have ended")


def test_pool_of_two_serves_fifty_long_calls(redis: Redis, redis_server: RedisServer) -> None:
    """Fifty threads run their long calls at once over a client with two connections, and no more are made."""
    client = Redis(port=redis_server.port, max_connections=2, client_name="long-calls")
    breaker = new_breaker(client)
    succeed(breaker)
    inside = threading.Barrier(50 + 1)
    leave = threading.Event()
    done: list[str] = []

    def long_call() -> str:
        inside.wait(30)
        leave.wait(30)
        return "done"

    def call() -> None:
        done.append(breaker.call(long_call))

    threads = [threading.Thread(target=call, daemon=True) for _ in range(50)]
    for thread in threads:
        thread.start()
    inside.wait(30)
    assert breaker.get_metrics()["calls_in_flight"] == 50
    ours = [entry for entry in redis.client_list() if entry["name"] == "long-calls"]
    leave.set()
    for thread in threads:
        thread.join()
    client.close()

    assert done == ["done"] * 50
    assert 1 <= len(ours) <= 2
    wait_for_tallies(breaker, success=51)


def test_exhausted_pool_is_bounded(redis: Redis, redis_server: RedisServer) -> None:
    """With one connection that hangs, callers in want of another wait no longer than redis_timeout."""
    with RedisServer() as server:
        client = Redis(port=server.port, max_connections=1)
        breaker = new_breaker(client, redis_timeout=REDIS_TIMEOUT, redis_retry_interval=RETRY_INTERVAL)
        succeed(breaker)
        server.freeze()
        with Traffic([breaker], THREADS) as traffic:
            traffic.wait_for_calls(500)
        server.thaw()
        wait_until(lambda: is_shared(breaker), "shared again")
        client.close()

    assert traffic.longest < REDIS_TIMEOUT + SCHEDULING + traffic.stood_still
