"""Wild cases of operations: what people see and mend with redis-cli and a shell."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from case_kinds import for_both_kinds, strict_and_stale
from redis import Redis

from circuit_in_redis import NAME, be_rejected, fail, new_breaker, succeed, trip
from sharedbreaker import CircuitState, Operator
from sharedbreaker.demo.redis_server import RedisServer

HOUR_MS = 3_600_000


def test_sb107_the_hash_is_plain_text_that_a_person_reads(redis: Redis, redis_server: RedisServer) -> None:
    """Every field has a name in words and a value in printable ASCII; moments are Unix milliseconds."""
    trip(new_breaker(redis), redis)
    with redis_server.client() as client:
        raw = client.hgetall("sharedbreaker:{orders}")
    assert isinstance(raw, dict)
    fields = {name.decode("ascii"): value.decode("ascii") for name, value in raw.items()}

    assert all(name.replace("_", "").isalpha() for name in fields)
    assert all(value.isprintable() for value in fields.values())
    assert fields["state"] == "open"
    now_ms = time.time() * 1000
    for moment in ("opened_at", "open_until", "last_failure_time", "last_state_change", "started_at"):
        assert abs(int(fields[moment]) - now_ms) < HOUR_MS
    assert int(fields["open_until"]) - int(fields["opened_at"]) == 60_000


@for_both_kinds
@strict_and_stale
def test_sb107_del_is_a_clean_closed_breaker(redis: Redis, max_staleness: float) -> None:
    """DEL of the hash closes an open circuit: no other key keeps it open, and its tallies begin anew."""
    breaker = new_breaker(redis, max_staleness=max_staleness)
    circuit = trip(breaker, redis)
    be_rejected(breaker, 4)
    redis.delete(circuit.key)
    time.sleep(max_staleness)

    fail(breaker, 2)
    assert breaker.get_metrics()["state"] == "closed"
    assert circuit.number("failure_count") == 2
    fail(breaker)
    assert circuit.field("state") == "open"


@for_both_kinds
def test_sb107_the_documented_edits_work(redis: Redis) -> None:
    """`open_until 0` lets probes through now; another `failure_threshold` is in force at once."""
    breaker = new_breaker(redis, success_threshold=1)
    circuit = trip(breaker, redis)
    be_rejected(breaker)
    circuit.set(open_until=0)
    succeed(breaker)
    assert circuit.field("state") == "closed"

    circuit.set(failure_threshold=1)
    fail(breaker)
    be_rejected(breaker)


@for_both_kinds
@strict_and_stale
@pytest.mark.parametrize("state", ["closed", "open", "half_open", "CLOSED", "2", "nonsense"])
def test_sb107_a_hand_written_state_crashes_nobody_and_wedges_nothing(
    redis: Redis, max_staleness: float, state: str
) -> None:
    """HSET of a state, even of one that is none: calls go on, and the circuit still opens and closes."""
    breaker = new_breaker(redis, success_threshold=1, max_staleness=max_staleness)
    circuit = trip(breaker, redis)
    circuit.set(state=state)
    time.sleep(max_staleness)
    for _ in range(2):
        if circuit.field("state") == "open":
            be_rejected(breaker)
            circuit.end_open_period()
            time.sleep(max_staleness)
        succeed(breaker)
    assert circuit.field("state") == "closed"
    fail(breaker, 3)
    assert breaker.get_state()["state"] == CircuitState.OPEN.value


def test_sb107_a_shell_without_python_has_what_it_needs(redis: Redis, redis_server: RedisServer) -> None:
    """The printed script holds the circuit by EVAL alone, with who and why, as docs/redis-cli.md has it."""
    breaker = new_breaker(redis_server.url)
    succeed(breaker)
    printed = subprocess.run(
        [sys.executable, "-m", "sharedbreaker", "script", "control", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    key = "sharedbreaker:{orders}"
    keys = [key, f"{key}:leases", f"{key}:events", f"{key}:batches"]

    redis.eval(json.loads(printed)["source"], 4, *keys, "force_open", "ann", "by hand", "")

    assert be_rejected(breaker).why == "held_open"
    assert Operator(NAME, redis=redis).snapshot().metrics_dict()["held_by"] == "ann"


@for_both_kinds
def test_peer_an_open_circuit_is_never_forgotten_by_expiry(redis: Redis) -> None:
    """No key of an open circuit has a time to live, so that none can close by being forgotten."""
    breaker = new_breaker(redis, timeout=0.2, idle_ttl=60)
    trip(breaker, redis)

    assert {key: redis.ttl(key) for key in redis.keys("*{orders}") + redis.keys("*breakers")} == {
        "sharedbreaker:{orders}": -1,
        "sharedbreaker:breakers": -1,
    }
