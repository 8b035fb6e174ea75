"""Wild cases of operations: what an operator does by hand holds, everywhere, and may be looked at."""

from __future__ import annotations

import time

import pytest
from case_callers import Caller, all_do, callers
from case_kinds import for_both_kinds, strict_and_stale
from prometheus_client import CollectorRegistry
from redis import Redis
from scraped import Page
from verbs import CommandLine
from verbs import command as command

from circuit_in_redis import NAME, CircuitInRedis, be_rejected, fail, new_breaker, succeed
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.prometheus import register_circuit_breakers

HOUR_MS = 3_600_000


@for_both_kinds
@strict_and_stale
def test_sb100_a_forced_open_circuit_stays_open_whatever_time_passes(
    redis: Redis, redis_server: RedisServer, max_staleness: float
) -> None:
    """Long after its timeout no call is let through, by whichever process, until somebody lets go."""
    breaker = new_breaker(redis, timeout=0.2, max_staleness=max_staleness)
    succeed(breaker)
    breaker.force_open("maintenance")
    circuit = CircuitInRedis(redis)
    circuit.elapse(HOUR_MS)

    other = new_breaker(redis_server.url, timeout=0.2, max_staleness=max_staleness)
    for one in (breaker, other):
        assert be_rejected(one, 3).why == "held_open"
    assert circuit.field("state") == "open"
    assert circuit.moves() == ["closed_to_open"]

    breaker.force_close()
    time.sleep(max_staleness)
    succeed(other)
    succeed(breaker)


def test_sb100_it_outlives_workers_and_their_deploys(redis: Redis, redis_server: RedisServer) -> None:
    """A worker that is killed and started again, with other settings at that, meets the same hold."""
    with Caller(redis_server.url, timeout=0.2) as first:
        assert first.do("succeed") == "success"
        first.do("force_open")
    CircuitInRedis(redis).elapse(HOUR_MS)

    with callers(2, redis_server.url, timeout=0.1, failure_threshold=9) as new:
        assert all_do(new, "succeed") == ["rejected: held_open"] * 2
        new[0].do("force_close")
        assert all_do(new, "succeed") == ["success"] * 2


@for_both_kinds
@strict_and_stale
def test_sb100_results_of_calls_from_before_do_not_end_it(redis: Redis, max_staleness: float) -> None:
    """A call that was under way when the circuit was held, or disabled, ends without changing that."""
    breaker = new_breaker(redis, max_staleness=max_staleness)
    breaker.call(breaker.force_open)
    assert be_rejected(breaker).why == "held_open"

    breaker.force_close()
    breaker.call(breaker.disable)
    time.sleep(max_staleness)
    fail(breaker, 10)
    assert breaker.get_state()["state"] == "closed"


@for_both_kinds
@strict_and_stale
def test_sb100_a_disabled_circuit_lets_everything_through_until_it_is_enabled(
    redis: Redis, redis_server: RedisServer, max_staleness: float
) -> None:
    """However many calls fail it stays closed, also for a new process; enabled again, the threshold rules."""
    breaker = new_breaker(redis, max_staleness=max_staleness)
    breaker.disable("the breaker is in the way")
    fail(breaker, 12)
    other = new_breaker(redis_server.url, max_staleness=max_staleness)
    fail(other, 12)
    assert other.get_metrics()["mode"] == "disabled"

    breaker.enable()
    time.sleep(max_staleness)
    fail(other, 3)
    assert be_rejected(other).why == "open"


@for_both_kinds
def test_sb100_a_hold_for_a_time_ends_by_probes(redis: Redis) -> None:
    """With a duration it is over at its end and not before, and probes decide then."""
    breaker = new_breaker(redis, success_threshold=1)
    breaker.force_open("ten minutes", 600)
    circuit = CircuitInRedis(redis)
    circuit.elapse(590_000)
    assert 0 < (be_rejected(breaker).retry_after or 0) <= 10

    circuit.elapse(10_000)
    succeed(breaker)
    assert circuit.field("state") == "closed"
    assert breaker.get_metrics()["mode"] == "automatic"


def test_sb100_a_hold_is_seen_as_a_hold_everywhere(
    redis: Redis, redis_server: RedisServer, command: CommandLine
) -> None:
    """State, metrics, events and the command line tell a hold from an opening, with who and why."""
    breaker = new_breaker(redis_server.url)
    succeed(breaker)
    breaker.force_open("maintenance", who="ann")
    registry = CollectorRegistry()
    register_circuit_breakers([breaker], registry=registry)
    metrics = breaker.get_metrics()

    assert (metrics["state"], metrics["mode"]) == ("open", "held_open")
    assert (metrics["held_by"], metrics["held_reason"]) == ("ann", "maintenance")
    assert (
        CircuitInRedis(redis).events()[-1] | {"who": "ann", "reason": "maintenance"}
        == (CircuitInRedis(redis).events()[-1])
    )
    page = Page(registry)
    assert page.value("circuit_breaker_mode", name=NAME, mode="held_open") == 1
    assert page.value("circuit_breaker_state", name=NAME) == 2
    status = command("status")
    assert status.exit_code == 4
    for word in ("held open", "ann", "maintenance"):
        assert word in status.out


@pytest.mark.parametrize("kind", ["sync", "async"])
@strict_and_stale
def test_sb102_what_one_worker_does_all_others_obey(
    redis: Redis, redis_server: RedisServer, kind: str, max_staleness: float
) -> None:
    """Four workers obey at their next call, or when their view is as old as they allow at most."""
    with callers(4, redis_server.url, kind, max_staleness=max_staleness) as workers:
        assert all_do(workers, "succeed") == ["success"] * 4
        workers[0].do("force_open")
        time.sleep(max_staleness)
        assert all_do(workers, "succeed") == ["rejected: held_open"] * 4
        workers[3].do("force_close")
        time.sleep(max_staleness)
        assert all_do(workers, "succeed") == ["success"] * 4


@strict_and_stale
def test_sb102_the_command_line_reaches_all_workers(
    redis: Redis, redis_server: RedisServer, command: CommandLine, max_staleness: float
) -> None:
    """Two pods of two workers obey a shell that knows none of their code."""
    with (
        callers(2, redis_server.url, max_staleness=max_staleness) as pod,
        callers(2, redis_server.url, "async", max_staleness=max_staleness) as other_pod,
    ):
        fleet = [*pod, *other_pod]
        all_do(fleet, "succeed")
        for words, answer in (
            (("hold-open", "orders"), "rejected: held_open"),
            (("close", "orders"), "success"),
            (("tune", "orders", "failure_threshold=1"), "success"),
        ):
            assert command(*words).exit_code == 0
            time.sleep(max_staleness)
            assert all_do(fleet, "succeed") == [answer] * 4
        assert fleet[0].do("fail") == "failure"
        time.sleep(max_staleness)
        assert all_do(fleet, "succeed") == ["rejected: open"] * 4


def test_sb102_with_push_they_hear_of_it_at_once(
    redis: Redis, redis_server: RedisServer, command: CommandLine
) -> None:
    """With `push` a view may be an hour old and is given up all the same when somebody acts."""
    with callers(2, redis_server.url, max_staleness=3600, push=True) as workers:
        all_do(workers, "succeed")
        assert command("hold-open", "orders").exit_code == 0
        deadline = time.monotonic() + 20
        while all_do(workers, "succeed") != ["rejected: held_open"] * 2:
            assert time.monotonic() < deadline, "nobody told them"
