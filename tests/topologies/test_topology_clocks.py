"""A fleet whose members disagree on the time by hours."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from redis import Redis
from topology_children import Child
from topology_lifecycle import OPEN_SECONDS, SharedCircuit, new_breaker, succeed, wait_until

from sharedbreaker.demo.redis_server import RedisServer

HOUR = 3600
WRONG_BY = (-HOUR, 0, HOUR)


@pytest.fixture
def fleet(redis: Redis, redis_server: RedisServer) -> Iterator[list[Child]]:
    """Three processes of one circuit: an hour late, on time, and an hour early."""
    with ExitStack() as stack:
        yield [stack.enter_context(Child(redis_server.url, wrong_by)) for wrong_by in WRONG_BY]


def test_processes_with_other_clocks_decide_alike(redis: Redis, fleet: list[Child]) -> None:
    """Opening, waiting, probing and closing are the same for all, whatever their clocks say."""
    circuit = SharedCircuit(redis)
    clocks = [child.ask("clock") - time.time() for child in fleet]
    assert clocks == [pytest.approx(wrong_by, abs=60) for wrong_by in WRONG_BY]

    assert [child.ask("fail") for child in fleet] == ["failure"] * 3
    answers = [child.ask("succeed") for child in fleet]
    assert [answer["rejected"] for answer in answers] == ["open"] * 3
    assert all(OPEN_SECONDS - 30 < answer["retry_after"] <= OPEN_SECONDS for answer in answers)
    metrics = [child.ask("metrics") for child in fleet]
    for figure in ("opened_at", "open_until", "last_failure_time", "state", "rejected_calls"):
        assert len({member[figure] for member in metrics}) == 1
    assert all(0 <= member["uptime_seconds"] < 60 for member in metrics)

    circuit.end_open_period()
    assert [child.ask("succeed") for child in fleet] == ["done"] * 3
    assert circuit.state() == "closed"
    assert circuit.moves() == ["closed_to_open", "open_to_half_open", "half_open_to_closed"]
    assert circuit.leases() == 0


@pytest.mark.parametrize("wrong_by", [-HOUR, HOUR])
def test_process_with_another_clock_without_redis(wrong_by: float) -> None:
    """Without Redis an open circuit stays open for the rest of its time, whatever the process' clock says."""
    with RedisServer() as server, Child(server.url, wrong_by, redis_timeout=0.3) as child:
        child.ask("fail", 3)
        server.freeze()
        answer = child.ask("succeed")
        assert answer["rejected"] == "open"
        assert OPEN_SECONDS - 30 < answer["retry_after"] <= OPEN_SECONDS
        server.thaw()
        wait_until(lambda: child.ask("metrics")["redis_available"], "shared again")
        admin = server.client(decode_responses=True)
        SharedCircuit(admin).end_open_period()
        admin.close()
        assert child.ask("succeed", 2) == "done"
        breaker = new_breaker(server.url)
        succeed(breaker)
        assert breaker.get_metrics()["state"] == "closed"
