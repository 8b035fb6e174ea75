"""Processes that start: they join the circuit as it is, and change nothing by being there."""

from __future__ import annotations

import pytest
from redis import Redis
from worker import call_once, only_construct, with_another_clock
from worker_basics import breaker_of, end_of, service_down
from workforce import OPEN_MS, SharedCircuit, Worker, all_at_once, workers

from sharedbreaker.demo.redis_server import RedisServer

HOUR = 3600.0


def opened(url: str, redis: Redis) -> SharedCircuit:
    breaker = breaker_of(url)
    for _ in range(3):
        end_of(breaker, service_down)
    circuit = SharedCircuit(redis)
    assert circuit.fields()["state"] == "open"
    return circuit


def test_process_that_starts_while_it_is_open_is_rejected_at_its_first_call(
    redis_server: RedisServer, redis: Redis
) -> None:
    """New workers obey an open circuit from their first call on."""
    opened(redis_server.url, redis)

    with workers(3, call_once, url=redis_server.url) as crew:
        answers = all_at_once(crew)

    assert [answer["end"] for answer in answers] == ["rejected_open"] * 3
    assert all(0 < answer["retry_after"] <= OPEN_MS / 1000 for answer in answers)


def test_ten_processes_that_only_construct_change_not_one_byte(
    redis_server: RedisServer, redis: Redis
) -> None:
    """Creating breakers with other settings in ten processes leaves every key as it was."""
    circuit = opened(redis_server.url, redis)
    before = circuit.everything()

    crew = [Worker(only_construct, url=redis_server.url) for _ in range(10)]
    answers = [worker.answer() for worker in crew]

    assert answers == ["done"] * 10
    assert circuit.everything() == before


def test_processes_that_keep_starting_do_not_extend_the_open_period(
    redis_server: RedisServer, redis: Redis
) -> None:
    """However many workers start and call while it is open, it ends when it was to end from the beginning."""
    circuit = opened(redis_server.url, redis)
    moments = {name: circuit.fields()[name] for name in ("opened_at", "open_until", "epoch")}

    for _ in range(2):
        with workers(3, call_once, url=redis_server.url) as crew:
            all_at_once(crew)
            assert {name: circuit.fields()[name] for name in moments} == moments
    circuit.elapse(OPEN_MS)

    with workers(1, call_once, url=redis_server.url) as crew:
        assert all_at_once(crew)[0]["end"] == "success"


@pytest.mark.parametrize(("opener", "caller"), [(HOUR, -HOUR), (-HOUR, HOUR)], ids=["ahead", "behind"])
def test_wall_clocks_of_processes_do_not_matter(
    redis_server: RedisServer, redis: Redis, opener: float, caller: float
) -> None:
    """With clocks two hours apart the circuit is open for its timeout, and then half-open."""
    url = redis_server.url
    with workers(1, with_another_clock, url=url, offset=opener, threshold=1) as crew:
        assert all_at_once(crew)[0]["end"] == "failure"
    circuit = SharedCircuit(redis)
    assert circuit.number("open_until") - circuit.number("opened_at") == OPEN_MS

    with workers(1, with_another_clock, url=url, offset=caller, threshold=3) as crew:
        early = all_at_once(crew)[0]
    circuit.elapse(OPEN_MS)
    with workers(1, with_another_clock, url=url, offset=caller, threshold=3) as crew:
        late = all_at_once(crew)[0]

    assert early["end"] == "rejected_open"
    assert 0 < early["retry_after"] <= OPEN_MS / 1000
    assert late["end"] == "success"
    assert circuit.fields()["state"] == "half_open"
