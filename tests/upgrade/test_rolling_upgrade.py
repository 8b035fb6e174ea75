"""A rolling upgrade: workers of an earlier release and of this one, on one circuit at the same time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from topology_children import Child

from child_process import ChildProcess
from circuit_in_redis import CircuitInRedis
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.store.redis_store import SCHEMA

HERE = Path(__file__).parent
PACKAGES = {"old": HERE / "schema_1.zip", "new": HERE.parents[1] / "src"}
THRESHOLD = {"failure_threshold": 3, "success_threshold": 1}


class Worker(Child):
    """One process with a breaker of one release."""

    def __init__(self, release: str, url: str, **settings: Any) -> None:
        script = HERE / "upgrade_child.py"
        ChildProcess.__init__(
            self, script, str(PACKAGES[release]), url, json.dumps({**THRESHOLD, **settings})
        )


class Crew:
    """Starts workers, and ends them all."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self._url = url
        self._stack = stack

    def start(self, release: str, **settings: Any) -> Worker:
        worker = self._stack.enter_context(Worker(release, self._url, **settings))
        assert str(PACKAGES[release]) in str(worker.ask("where"))
        return worker


@pytest.fixture
def crew(redis: Redis, redis_server: RedisServer) -> Iterator[Crew]:
    with ExitStack() as stack:
        yield Crew(redis_server.url, stack)


def end_open_period(circuit: CircuitInRedis) -> None:
    circuit.set(opened_at=1, open_until=2, reclaim_at=0)


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")])
def test_failures_of_both_releases_count_in_one_row(redis: Redis, crew: Crew, order: tuple[str, str]) -> None:
    """Whoever was there first: three failures of both together open for both, and one probe closes."""
    first, second = map(crew.start, order)
    circuit = CircuitInRedis(redis)

    assert [first.ask("succeed"), first.ask("fail"), second.ask("fail"), first.ask("fail")] == [
        "done", "failure", "failure", "failure",
    ]  # fmt: skip
    assert [first.ask("succeed"), second.ask("succeed")] == ["open", "open"]
    end_open_period(circuit)
    assert [second.ask("succeed"), first.ask("succeed")] == ["done", "done"]

    assert circuit.moves() == ["closed_to_open", "open_to_half_open", "half_open_to_closed"]
    assert circuit.number("successful_calls") == 3
    assert circuit.number("failed_calls") == 3
    assert circuit.number("rejected_calls") == 2
    assert circuit.leases() == {}


def test_hands_of_both_releases_are_obeyed_by_both(redis: Redis, crew: Crew) -> None:
    """Held open by the one, rejected by the other, and let go by that."""
    old, new = crew.start("old"), crew.start("new")
    for holder, other in ((old, new), (new, old)):
        assert other.ask("succeed") == "done"
        holder.ask("hold open")
        assert other.ask("succeed") == "held_open"
        other.ask("let go")
        assert holder.ask("succeed") == "done"

    assert CircuitInRedis(redis).field("mode") == "automatic"


def test_every_call_of_both_counts_once_while_workers_are_replaced(redis: Redis, crew: Crew) -> None:
    """Two old workers, one after the other replaced by a new one, with calls all the time and views."""
    settings = {"failure_threshold": 100_000}
    workers = [crew.start("old", **settings), crew.start("old", **settings, max_staleness=0.02)]
    done = calls = 0
    for replacement in ({}, {"max_staleness": 0.02}, None):
        for worker in workers:
            done += worker.ask("50")
            calls += 50
        if replacement is not None:
            workers.pop(0).leave()
            workers.append(crew.start("new", **settings, **replacement))
    for worker in workers:
        worker.leave()

    circuit = CircuitInRedis(redis)
    assert circuit.number("successful_calls") == done
    assert circuit.number("failed_calls") == calls - done
    assert circuit.number("lost_calls") == circuit.number("late_results") == 0
    assert circuit.leases() == {}


def test_old_worker_that_starts_later_takes_nothing_from_the_new_rules(redis: Redis, crew: Crew) -> None:
    """It declares what it knows; the rules that it does not know stay in force for whoever knows them."""
    rate = {"failure_rate": {"window": 3600, "minimum_calls": 4}}
    new = crew.start("new", failure_threshold=50, **rate)
    assert new.ask("succeed") == "done"
    old = crew.start("old", failure_threshold=50)
    assert old.ask("succeed") == "done"
    circuit = CircuitInRedis(redis)

    assert circuit.field("failure_rate_percent") == "50"
    assert circuit.field("rules") == "extended"
    for _ in range(3):
        assert new.ask("fail") == "failure"
    assert old.ask("succeed") == "open"


def test_hash_of_an_old_release_is_brought_up_to_date(redis: Redis, crew: Crew) -> None:
    """A new worker's first call adds what its release has, raises the schema, and keeps state and tallies."""
    old = crew.start("old")
    old.ask("succeed")
    old.ask("fail")
    circuit = CircuitInRedis(redis)
    before = circuit.fields()
    assert before["schema"] == "1"

    assert crew.start("new").ask("fail") == "failure"

    after = circuit.fields()
    assert after["schema"] == SCHEMA
    assert after["rules"] == "plain"
    assert after["failure_count"] == "2"
    assert after["epoch"] == before["epoch"]
    assert after["successful_calls"] == "1"
    assert old.ask("fail") == "failure"
    assert old.ask("succeed") == "open"


def test_hash_of_a_later_release_keeps_its_schema(redis: Redis, crew: Crew) -> None:
    """Who is older writes no older schema over it, and works with what it knows."""
    new = crew.start("new")
    new.ask("succeed")
    circuit = CircuitInRedis(redis)
    circuit.set(schema=9, rules="plain", a_later_field="kept")

    assert crew.start("new", failure_threshold=4).ask("succeed") == "done"

    assert circuit.field("schema") == "9"
    assert circuit.field("a_later_field") == "kept"
