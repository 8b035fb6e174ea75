"""Half-open, and the whole fleet calls at the same moment: only the probes reach the service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis
from worker import call_again_and_again, call_in_threads
from worker_basics import breaker_of, end_of, service_down
from workforce import OPEN_MS, SharedCircuit, all_at_once, wait_until, workers

from sharedbreaker.demo.redis_server import RedisServer

PROCESSES = 8
THREADS = 8
CALLERS = PROCESSES * THREADS


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


def open_and_over(url: str, redis: Redis) -> SharedCircuit:
    """An open circuit whose time is over: the next call is the first probe."""
    breaker = breaker_of(url)
    for _ in range(3):
        end_of(breaker, service_down)
    circuit = SharedCircuit(redis)
    circuit.elapse(OPEN_MS)
    return circuit


@pytest.mark.parametrize("places", [1, 3])
def test_only_so_many_of_64_callers_reach_the_service(
    redis_server: RedisServer, upstream_server: RedisServer, redis: Redis, upstream: Redis, places: int
) -> None:
    """Of 64 callers in 8 processes exactly half_open_max_calls are inside, and all others are rejected."""
    settings = {"success_threshold": 100, "half_open_max_calls": places}
    url, upstream_url = redis_server.url, upstream_server.url
    with workers(
        PROCESSES, call_in_threads, url=url, upstream_url=upstream_url, threads=THREADS, **settings
    ) as crew:
        circuit = open_and_over(url, redis)
        for worker in crew:
            worker.tell()
        wait_until(lambda: int(upstream.get("rejected_half_open") or 0) == CALLERS - places)

        inside = int(upstream.get("inside") or 0)
        probes = len(circuit.leases())
        upstream.rpush("let_go", *range(CALLERS))
        ends = [end for worker in crew for end in worker.answer()]

    assert (inside, probes) == (places, places)
    assert int(upstream.get("inside") or 0) == places
    assert sorted(ends) == ["rejected_half_open"] * (CALLERS - places) + ["success"] * places
    assert circuit.number("rejected_calls") == CALLERS - places
    assert circuit.transitions() == {"closed_to_open": 1, "open_to_half_open": 1}


def test_single_probe_closes_it_for_everybody(
    redis_server: RedisServer, upstream_server: RedisServer, redis: Redis, upstream: Redis
) -> None:
    """With one place one of 64 callers runs, 63 are rejected, and its success closes the circuit once."""
    settings = {"success_threshold": 1, "half_open_max_calls": 1}
    url, upstream_url = redis_server.url, upstream_server.url
    with workers(
        PROCESSES, call_in_threads, url=url, upstream_url=upstream_url, threads=THREADS, **settings
    ) as crew:
        circuit = open_and_over(url, redis)
        for worker in crew:
            worker.tell()
        wait_until(lambda: int(upstream.get("rejected_half_open") or 0) == CALLERS - 1)
        upstream.rpush("let_go", *range(CALLERS))
        ends = [end for worker in crew for end in worker.answer()]

    assert ends.count("success") == 1
    assert circuit.fields()["state"] == "closed"
    assert circuit.transitions() == {
        "closed_to_open": 1,
        "open_to_half_open": 1,
        "half_open_to_closed": 1,
    }


def test_service_never_sees_more_probes_at_once_than_there_are_places(
    redis_server: RedisServer, upstream_server: RedisServer, redis: Redis, upstream: Redis
) -> None:
    """While places are taken and given back all the time, the service never has more callers than places."""
    settings = {"success_threshold": 1_000_000, "half_open_max_calls": 3}
    url, upstream_url = redis_server.url, upstream_server.url
    with workers(
        PROCESSES, call_again_and_again, url=url, upstream_url=upstream_url, threads=4, times=40, **settings
    ) as crew:
        circuit = open_and_over(url, redis)
        answers = all_at_once(crew)

    seen = [int(number) for number in upstream.lrange("seen", 0, -1)]
    ran = sum(answer.get("success", 0) for answer in answers)
    assert max(seen) <= 3
    assert len(seen) == ran == circuit.number("successful_calls")
    assert circuit.number("rejected_calls") == PROCESSES * 4 * 40 - ran
    assert circuit.leases() == {}
