"""docs/redis-cli.md, done: every command in it is run in its order, and prints what the page shows."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from page_shell import Shell
from redis import Redis
from redis_cli_page import PAGE, Shown, make_programs, masked, shown

from sharedbreaker import CircuitBreaker, Operator
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.store.keys import keys_of
from sharedbreaker.store.scripts import script

LONGEST = 60


def fail_with_timeout() -> None:
    raise TimeoutError


def wait_for_reader(redis: Redis) -> None:
    deadline = time.monotonic() + LONGEST
    while redis.info("clients")["blocked_clients"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def orders(redis: Redis, redis_server: RedisServer) -> CircuitBreaker:
    """The circuit of the page: seven calls, of which the last three failed."""
    breaker = CircuitBreaker(name="orders", failure_threshold=3, redis=redis_server.url, redis_timeout=5)
    for _ in range(4):
        breaker.call(int)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            breaker.call(fail_with_timeout)
    return breaker


def test_every_command_prints_what_the_page_shows(
    orders: CircuitBreaker, redis: Redis, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Run in the page's order, each command prints what stands below it; what varies is masked."""
    make_programs(tmp_path, redis_server.port, f"{sys.executable} -m sharedbreaker")
    shell = Shell(tmp_path, {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    printed = []
    try:
        for step in shown():
            shell.begin(step.command)
            if step.waits:
                wait_for_reader(redis)
                keys = keys_of("orders").of_script
                acts = ("force_close", "ann", "it is well again", "")
                redis.eval(script("control").source, len(keys), *keys, *acts)
            printed.append(Shown(step.command, masked(shell.output()), step.waits))
    finally:
        shell.close()

    assert printed == [Shown(step.command, masked(step.output), step.waits) for step in shown()]


def test_the_page_shows_each_kind_of_thing() -> None:
    """The comparison is not empty: the page looks, follows, holds, tunes, sets and deletes."""
    commands = " ".join(step.command for step in shown())

    for word in ("SMEMBERS", "XREAD BLOCK", "control.lua", "tune.lua", "HSET", "DEL"):
        assert word in commands
    assert sum(step.waits for step in shown()) == 1


def test_open_until_0_lets_the_next_call_probe(orders: CircuitBreaker, redis: Redis) -> None:
    """HSET open_until 0, as the page says, makes the next call a probe that may close the circuit."""
    redis.hset("sharedbreaker:{orders}", "open_until", "0")

    orders.call(int)

    assert orders.get_state()["state"] == "half_open"


def test_a_setting_written_by_hand_lasts_until_the_next_declaration(
    orders: CircuitBreaker, redis: Redis, redis_server: RedisServer
) -> None:
    """HSET of a setting is in force at once, and replaced when another process declares."""
    redis.hset("sharedbreaker:{orders}", "failure_threshold", "5")
    assert orders.get_metrics()["failure_threshold"] == 5

    Operator("orders", redis=redis_server.url).force_close()
    CircuitBreaker(name="orders", failure_threshold=3, redis=redis_server.url, redis_timeout=5).call(int)

    assert orders.get_metrics()["failure_threshold"] == 3


def test_deleting_the_hash_breaks_nothing(orders: CircuitBreaker, redis: Redis) -> None:
    """DEL, as the page says, is a clean start: closed, with all tallies at 0, by the declared settings."""
    redis.delete("sharedbreaker:{orders}")

    orders.call(int)

    metrics = orders.get_metrics()
    assert (metrics["state"], metrics["total_calls"], metrics["failure_threshold"]) == ("closed", 1, 3)


def test_the_page_names_no_key_that_is_not_there() -> None:
    """The page speaks of the circuit's four keys and the list, by the names that the code uses."""
    keys = keys_of("orders")
    text = PAGE.read_text()
    for key in (keys.circuit, keys.leases, keys.events, keys.registry):
        assert key in text
