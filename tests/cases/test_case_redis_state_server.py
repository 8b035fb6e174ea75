"""Servers that refuse, for want of memory or of a right; and what calls cost one that does not."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from held_call import HeldCall
from redis import Redis
from stale_circuits import LONG, load_scripts, wait_until
from topology_lifecycle import wait_for_tallies
from topology_troubles import SERVER_OPTIONS, out_of_memory

from circuit_in_redis import (
    CircuitInRedis,
    be_ignored,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    trip,
    trip_and_wait,
)
from sharedbreaker import CircuitBreaker
from sharedbreaker.demo.redis_server import RedisServer

QUICK: dict[str, Any] = {"redis_retry_interval": 0.02}
STALENESSES = pytest.mark.parametrize("max_staleness", [0, 0.02], ids=["strict", "stale"])
numbers = itertools.count()
DOCS = Path(__file__).parents[2] / "docs" / "redis.md"


@pytest.fixture(scope="module")
def full_server() -> Iterator[RedisServer]:
    with RedisServer(*SERVER_OPTIONS) as server:
        yield server


@pytest.fixture
def admin(full_server: RedisServer) -> Iterator[Redis]:
    client = full_server.client(decode_responses=True)
    client.flushall()
    yield client
    client.close()


@STALENESSES
def test_sb033_out_of_memory_is_an_outage_and_no_error(
    full_server: RedisServer, admin: Redis, max_staleness: float
) -> None:
    """While scripts fail for want of memory calls get their own ends; it shows, and all is tallied later."""
    breaker = new_breaker(full_server.url, max_staleness=max_staleness, **QUICK)
    succeed(breaker)
    fail(breaker)
    with out_of_memory(full_server, admin):
        fail(breaker, 3)
        assert not breaker.get_metrics()["redis_available"]
        be_rejected(breaker)

    wait_for_tallies(breaker, success=1, failure=4, rejected=1)
    assert breaker.get_state()["state"] == "closed"
    succeed(breaker)
    wait_for_tallies(breaker, success=2, failure=4, rejected=1)  # it is told before the next test begins


@pytest.fixture
def user_without_time(redis: Redis, redis_server: RedisServer) -> Iterator[str]:
    """The URL of a user who may do all but ask for the time, and whom no other test's breakers know."""
    user = f"timeless-{next(numbers)}"
    redis.execute_command("ACL", "SETUSER", user, "on", ">secret", "~*", "&*", "+@all", "-time")
    yield redis_server.url.replace("//", f"//{user}:secret@")
    redis.execute_command("ACL", "DELUSER", user)


@STALENESSES
def test_sb036_server_that_refuses_the_time_is_named_in_the_log(
    user_without_time: str, caplog: pytest.LogCaptureFixture, max_staleness: float
) -> None:
    """Calls go on by the process' own rules, and one line says which command is missing."""
    caplog.set_level(logging.WARNING, "sharedbreaker")
    breaker = new_breaker(user_without_time, max_staleness=max_staleness, redis_retry_interval=3600)

    succeed(breaker)
    be_ignored(breaker)
    fail(breaker, 3)
    be_rejected(breaker)

    told = [record.getMessage() for record in caplog.records if "could not be asked" in record.getMessage()]
    assert len(told) == 1
    assert "the user may not run TIME" in told[0]
    assert "on_redis_error='local' decides" in told[0]
    assert "secret" not in caplog.text
    breaker._store.forget()


def test_sb036_time_is_asked_for_before_anything_is_written(redis: Redis, user_without_time: str) -> None:
    """A refusal of the time leaves no half-made circuit behind."""
    breaker = new_breaker(user_without_time, redis_retry_interval=3600)
    succeed(breaker)

    assert list(redis.scan_iter()) == []
    breaker._store.forget()


@pytest.mark.sync_only(why="a page has no kind")
def test_sb036_supported_servers_are_documented() -> None:
    """The page on Redis says from which version on, and what an older server looks like."""
    page = " ".join(DOCS.read_text().split())
    assert "The core is tested on Redis 6.2" in page
    assert "Older servers are not supported" in page
    assert "+time" in page


def arrived(redis_server: RedisServer, work: Any) -> list[str]:
    """The commands that clients sent while `work` ran."""
    client, marker = redis_server.client(decode_responses=True), redis_server.client()
    marker.ping()
    with client.monitor() as monitor:
        work()
        marker.echo("the end")
        sent = []
        while "the end" not in (told := monitor.next_command())["command"]:
            if told["client_type"] != "lua":
                sent.append(told["command"].split(" ")[0].upper())
    client.close()
    marker.close()
    return sent


def warmed(redis: Redis, **settings: Any) -> CircuitBreaker:
    load_scripts(redis)
    breaker = new_breaker(redis, **settings)
    succeed(breaker)
    return breaker


def test_sb039_call_of_a_closed_circuit_is_two_scripts_by_digest(
    redis_server: RedisServer, redis: Redis
) -> None:
    """A success, a failure and an ignored call are two EVALSHA each, and nothing else."""
    breaker = warmed(redis, failure_threshold=100)

    assert arrived(redis_server, lambda: succeed(breaker, 10)) == ["EVALSHA"] * 20
    assert arrived(redis_server, lambda: fail(breaker, 10)) == ["EVALSHA"] * 20
    assert arrived(redis_server, lambda: be_ignored(breaker, 10)) == ["EVALSHA"] * 20


def test_sb039_rejection_is_one_script(redis_server: RedisServer, redis: Redis) -> None:
    """A call that an open circuit rejects is one EVALSHA; so is one that finds all probes busy."""
    breaker = warmed(redis)
    circuit = trip(breaker, redis)
    assert arrived(redis_server, lambda: be_rejected(breaker, 10)) == ["EVALSHA"] * 10

    circuit.end_open_period()
    breaker.admit()
    breaker.admit()
    assert arrived(redis_server, lambda: be_rejected(breaker, 10)) == ["EVALSHA"] * 10


def test_sb039_with_a_staleness_calls_ask_nothing(redis_server: RedisServer, redis: Redis) -> None:
    """Within the bound that the setting says, successes and rejections ask Redis for nothing."""
    breaker = warmed(redis, max_staleness=LONG)
    breaker._store.keep()
    assert arrived(redis_server, lambda: succeed(breaker, 10)) == []
    fail(breaker, 3)
    assert arrived(redis_server, lambda: be_rejected(breaker, 10)) == []
    breaker._store.keep()


@STALENESSES
def test_sb039_keys_do_not_grow_with_calls(redis: Redis, max_staleness: float) -> None:
    """After hundreds of calls and dozens of trips every key is as long as before, but for the history."""
    breaker = warmed(redis, failure_threshold=1, success_threshold=1, max_staleness=max_staleness)
    circuit = CircuitInRedis(redis)

    def once_around() -> None:
        succeed(breaker, 5)
        fail(breaker)
        breaker.force_close()

    once_around()
    breaker._store.keep()
    fields = circuit.fields().keys()
    for _ in range(30):
        once_around()
    breaker._store.keep()

    assert circuit.fields().keys() == fields
    assert circuit.leases() == {}
    assert len(circuit.events()) <= 1000
    assert all(len(value) < 100 for value in circuit.fields().values())


def test_sb039_history_is_capped(redis: Redis) -> None:
    """However many transitions there were, at most a thousand are kept."""
    breaker = warmed(redis)
    circuit = CircuitInRedis(redis)
    for number in range(1000):
        redis.xadd(
            circuit.events_key, {"from": "closed", "to": "closed", "why": "filler", "who": str(number)}
        )
    trip_and_wait(breaker, redis)

    assert redis.xlen(circuit.events_key) == 1000
    assert circuit.events()[-1]["why"] == "failure_threshold"


def test_sb039_no_connection_is_held_during_a_call(redis: Redis, redis_server: RedisServer) -> None:
    """Twenty calls that are inside their breaker at once need no more connections than one."""
    breaker = warmed(redis)
    before = len(redis.client_list())
    calls = [HeldCall(breaker) for _ in range(20)]
    assert all(call.is_inside for call in calls)
    # Connections of other tests may end meanwhile.
    assert len(redis.client_list()) <= before
    for call in calls:
        call.end()
    assert len(redis.client_list()) <= before + 1


@STALENESSES
def test_peer_idle_breaker_asks_nothing(
    redis_server: RedisServer, redis: Redis, max_staleness: float
) -> None:
    """Between calls a breaker that owes nothing asks Redis for nothing: no polling, whatever the state."""
    breaker = warmed(redis, max_staleness=max_staleness)
    fail(breaker, 3)
    wait_until(lambda: not breaker.get_metrics()["unwritten_calls"], "all is told")
    looked = arrived(redis_server, lambda: _wait_a_little(redis))

    assert "EVALSHA" not in looked
    assert "EVAL" not in looked


def _wait_a_little(redis: Redis) -> None:
    """Longer than the staleness, by a command that blocks."""
    redis.blpop(["nothing"], 0.05)
