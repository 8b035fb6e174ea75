"""What the tests of all topologies share: small breakers, and a circuit's whole life over two clients."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest
from redis import Redis
from redis.cluster import RedisCluster

from breaker_kinds import make_breaker
from guarded_calls import (
    BadRequestError as BadRequestError,
)
from guarded_calls import (
    ServiceDownError as ServiceDownError,
)
from guarded_calls import (
    bad_request as bad_request,
)
from guarded_calls import (
    be_ignored as be_ignored,
)
from guarded_calls import (
    be_rejected as be_rejected,
)
from guarded_calls import (
    fail as fail,
)
from guarded_calls import (
    service_down as service_down,
)
from guarded_calls import (
    succeed as succeed,
)
from guarded_calls import (
    work as work,
)
from sharedbreaker import CircuitBreaker, CircuitBreakerError, CircuitState

NAME = "orders"
PREFIX = "sharedbreaker"
OPEN_SECONDS = 60
PATIENCE = 20.0
POLL_SECONDS = 0.01
SCHEDULING = 4.0
"""Seconds that a bounded wait may take longer on a machine that does much else; redis-py's own are five."""
QUICK: dict[str, Any] = {"redis_timeout": 0.25, "redis_retry_interval": 0.1}
"""Settings for tests of outages: short waits. For all others a slow machine must not look like an outage."""
CALL_TALLIES = ("successful_calls", "failed_calls", "rejected_calls", "ignored_calls")


def new_breaker(redis: Redis | RedisCluster | str | None, **settings: Any) -> CircuitBreaker:
    defaults: dict[str, Any] = {
        "name": NAME,
        "failure_threshold": 3,
        "success_threshold": 2,
        "timeout": OPEN_SECONDS,
        "probe_timeout": 20,
        "lease_timeout": 40,
        "expected_exception": ServiceDownError,
        "redis_timeout": 5,
        "redis_retry_interval": 0.1,
    }
    return make_breaker(redis=redis, **{**defaults, **settings})


def passes(breaker: CircuitBreaker) -> bool:
    """Whether the breaker lets a call run, which then succeeds."""
    try:
        return breaker.call(work) == "done"
    except CircuitBreakerError:
        return False


def wait_until(holds: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Poll until `holds` says something true; fail with `what` when it never does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"did not come about in {seconds} s: {what}"
        time.sleep(POLL_SECONDS)


def is_shared(breaker: CircuitBreaker) -> bool:
    """Whether the breaker shows what Redis holds, after asking it where it may."""
    return bool(breaker.get_metrics()["redis_available"])


def is_shared_and_settled(breaker: CircuitBreaker) -> bool:
    metrics = breaker.get_metrics()
    return metrics["redis_available"] and not metrics["unwritten_calls"]


def wait_until_told(changes: list[bool]) -> None:
    """Wait until a loss and a return of Redis have been told; whether more was, is for the test to see."""
    wait_until(lambda: len(changes) >= 2, "a loss and a return of Redis are told")


def wait_until_shared(*breakers: CircuitBreaker) -> None:
    """Wait until Redis has been told all that these breakers' process owes it."""
    for breaker in breakers:
        wait_until(partial(is_shared_and_settled, breaker), f"{breaker} is shared again")


def tallies_of(breaker: CircuitBreaker) -> dict[str, int]:
    """The calls by outcome as the breaker shows them, and their total."""
    return tallies_in(breaker.get_metrics())


def tallies_in(metrics: dict[str, Any]) -> dict[str, int]:
    return {name: metrics[name] for name in ("total_calls", *CALL_TALLIES)}


def expected_tallies(
    success: int = 0, failure: int = 0, rejected: int = 0, ignored: int = 0
) -> dict[str, int]:
    counts = (success, failure, rejected, ignored)
    return {"total_calls": sum(counts), **dict(zip(CALL_TALLIES, counts, strict=True))}


def wait_for_tallies(breaker: CircuitBreaker, *, rejections_in_doubt: int = 0, **counts: int) -> None:
    """Wait until Redis holds exactly these calls. Each is added some time, and none may be there twice.

    But for rejections whose answer was lost: those leave nothing to know them by, and may be tallied again.
    """
    expected = expected_tallies(**counts)
    deadline = time.monotonic() + PATIENCE
    while True:
        metrics = breaker.get_metrics()
        tallies = tallies_in(metrics)
        again = tallies["rejected_calls"] - expected["rejected_calls"]
        if 0 < again <= rejections_in_doubt:
            tallies = {**tallies, "rejected_calls": expected["rejected_calls"]}
            tallies["total_calls"] -= again
        if metrics["redis_available"] and tallies == expected:
            return
        too_many = metrics["redis_available"] and any(tallies[name] > expected[name] for name in CALL_TALLIES)
        if too_many or time.monotonic() > deadline:
            assert tallies == expected, f"{tallies} in place of {expected}"
            assert metrics["redis_available"], f"{breaker} is not shared"
        time.sleep(POLL_SECONDS)


class SharedCircuit:
    """One circuit's keys, as somebody with redis-cli sees and edits them."""

    def __init__(self, admin: Redis | RedisCluster, name: str = NAME, prefix: str = PREFIX) -> None:
        self.admin = cast("Redis", admin)
        self.name = name
        self.key = f"{prefix}:{{{name}}}"
        self.leases_key = f"{self.key}:leases"
        self.events_key = f"{self.key}:events"
        self.registry_key = f"{prefix}:breakers"

    def fields(self) -> dict[str, str]:
        return cast("dict[str, str]", self.admin.hgetall(self.key))

    def state(self) -> str | None:
        return self.fields().get("state")

    def end_open_period(self) -> None:
        """Let the open period be over: the next call is the first probe."""
        seconds, microseconds = self.admin.time()
        now_ms = seconds * 1000 + microseconds // 1000
        self.admin.hset(self.key, "opened_at", str(now_ms - OPEN_SECONDS * 1000))
        self.admin.hset(self.key, "open_until", str(now_ms))

    def events(self) -> list[dict[str, str]]:
        entries = cast("list[tuple[str, dict[str, str]]]", self.admin.xrange(self.events_key))
        return [fields for _, fields in entries]

    def moves(self) -> list[str]:
        """The transitions that the events tell, in their order."""
        return [
            f"{event['from']}_to_{event['to']}" for event in self.events() if event["from"] != event["to"]
        ]

    def away_events(self) -> list[dict[str, str]]:
        """The events that tell of a process without Redis."""
        return [event for event in self.events() if event["why"] == "was_away"]

    def leases(self) -> int:
        return self.admin.zcard(self.leases_key)

    def is_listed(self) -> bool:
        return bool(self.admin.sismember(self.registry_key, self.name))


def check_lifecycle(
    first: CircuitBreaker,
    second: CircuitBreaker,
    circuit: SharedCircuit,
    halfway: Callable[[], object] | None = None,
) -> None:
    """Lead a new circuit over two breakers through every state, by failures and by hand, and compare books.

    `halfway` is called while the circuit is open.
    """
    succeed(first, 2)
    succeed(second)
    fail(first, 2)
    fail(second)
    assert be_rejected(first).state is CircuitState.OPEN
    assert be_rejected(second).retry_after == pytest.approx(OPEN_SECONDS, abs=30)
    if halfway is not None:
        halfway()
    circuit.end_open_period()
    succeed(second)
    assert circuit.state() == "half_open"
    succeed(first)
    assert circuit.state() == "closed"
    be_ignored(second)
    first.force_open("maintenance", who="operator")
    assert be_rejected(second).why == "held_open"
    second.force_close("done", who="operator")
    succeed(first)

    metrics = first.get_metrics()
    assert {**metrics, "uptime_seconds": 0} == {**second.get_metrics(), "uptime_seconds": 0}
    assert metrics["redis_available"] is True
    assert metrics["unwritten_calls"] == metrics["calls_in_flight"] == circuit.leases() == 0
    assert tallies_of(first) == expected_tallies(success=6, failure=3, rejected=3, ignored=1)
    moves = ["closed_to_open", "open_to_half_open", "half_open_to_closed", "closed_to_open", "open_to_closed"]
    assert circuit.moves() == moves
    assert metrics["state_transitions"] == {**dict.fromkeys(metrics["state_transitions"], 0)} | {
        move: moves.count(move) for move in moves
    }
    assert [event["reason"] for event in circuit.events() if event["who"] == "operator"] == [
        "maintenance",
        "done",
    ]
    assert circuit.is_listed()
