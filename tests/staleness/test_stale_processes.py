"""Processes that hold tallies back, and leave, fork, are killed, or come together at a half-open circuit."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from cutting_proxy import CuttingProxy
from redis import Redis
from stale_circuits import STALENESS, load_scripts, number_of_scripts, wait_until

from child_process import ChildProcess
from circuit_in_redis import CircuitInRedis, new_breaker, succeed, trip
from sharedbreaker.demo.redis_server import RedisServer

HELD = 5


class Child(ChildProcess):
    """One process that goes one way: see stale_child.py."""

    def __init__(self, url: str, way: str, **settings: Any) -> None:
        super().__init__(Path(__file__).with_name("stale_child.py"), url, way, json.dumps(settings))

    def hear(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._process.communicate()[1]
        return json.loads(line)

    def tell(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate(timeout=30)

    def leave(self, code: int = 0) -> str:
        """End its input and wait for it; return what it complained of."""
        _, told = self._process.communicate(timeout=60)
        assert self._process.returncode == code, told
        return told


def _end(url: str, way: str, code: int = 0, **settings: Any) -> str:
    with Child(url, way, **settings) as child:
        return child.leave(code)


@pytest.mark.parametrize(("way", "code"), [("plain", 0), ("sys_exit", 0), ("exception", 1)])
def test_a_process_that_leaves_tells_all(
    redis: Redis, redis_server: RedisServer, way: str, code: int
) -> None:
    """Whichever way the interpreter ends, what was held back is written first."""
    told = _end(redis_server.url, way, code)
    assert CircuitInRedis(redis).number("successful_calls") == HELD + 1
    assert code or not told


def test_a_process_that_leaves_tells_every_kind(redis: Redis, redis_server: RedisServer) -> None:
    """Successes, ignored and released calls are all written at the end."""
    _end(redis_server.url, "all_kinds")
    assert CircuitInRedis(redis).numbers("successful_calls", "ignored_calls", "released_calls") == {
        "successful_calls": HELD + 1,
        "ignored_calls": 3,
        "released_calls": 1,
    }


def test_a_process_that_leaves_tells_its_rejections(redis: Redis, redis_server: RedisServer) -> None:
    """So are rejections."""
    _end(redis_server.url, "rejections")
    assert CircuitInRedis(redis).number("rejected_calls") == HELD


def test_a_process_that_leaves_waits_for_its_threads(redis: Redis, redis_server: RedisServer) -> None:
    """What threads count after the main thread has ended is written too."""
    _end(redis_server.url, "threads")
    assert CircuitInRedis(redis).number("successful_calls") == 200


@pytest.mark.parametrize("way", ["child_of_multiprocessing", "spawned_by_multiprocessing"])
def test_a_child_of_multiprocessing_tells_all(redis: Redis, redis_server: RedisServer, way: str) -> None:
    """A child that multiprocessing started tells what it held back, though it leaves in another way."""
    _end(redis_server.url, way)
    held_by_parent = HELD + 1 if way == "child_of_multiprocessing" else 0
    assert CircuitInRedis(redis).number("successful_calls") == held_by_parent + HELD


def test_what_the_timer_has_in_hand_is_told_as_well(redis: Redis, redis_server: RedisServer) -> None:
    """A process that leaves while its timer's batch is under way, and lost, tells that batch itself."""
    with CuttingProxy(redis_server.port) as proxy:
        sent = threading.Event()
        with Child(proxy.url, "timer_under_way", max_staleness=1.0, redis_timeout=5) as child:
            assert child.hear()["held"] == HELD
            proxy.lose_reply_to("refresh", 1, before=True, silently=True, meanwhile=sent.set)
            assert sent.wait(20)
            child.leave()
    assert CircuitInRedis(redis).number("successful_calls") == HELD + 1


def test_a_circuit_that_cannot_be_told_keeps_no_other_from_it(
    redis: Redis, redis_server: RedisServer
) -> None:
    """A process that leaves tells of each circuit that Redis can serve."""
    with Child(redis_server.url, "two_circuits") as child:
        assert child.hear()["held"]
        orders = CircuitInRedis(redis)
        redis.delete(orders.key)
        redis.set(orders.key, "somebody else's")
        child.leave()
    assert CircuitInRedis(redis, "payments").number("successful_calls") == HELD + 1
    redis.delete(orders.key)


def test_a_killed_process_loses_what_it_held(redis: Redis, redis_server: RedisServer) -> None:
    """SIGKILL takes what was held back since the last answer, and nothing else."""
    with Child(redis_server.url, "no_time_left") as child:
        assert child.hear()["held"] == HELD
        child.kill()
    assert CircuitInRedis(redis).numbers("successful_calls", "failed_calls", "lost_calls") == {
        "successful_calls": HELD + 1,
        "failed_calls": 1,
        "lost_calls": 0,
    }
    assert CircuitInRedis(redis).leases() == {}


def test_a_forked_child_counts_only_its_own(redis: Redis, redis_server: RedisServer) -> None:
    """Parent and child each tell their own calls, and what was held back at the fork is told once."""
    told = _end(redis_server.url, "fork_with_tallies")
    assert CircuitInRedis(redis).number("successful_calls") == HELD + 1 + 2 * HELD, told


def test_a_forked_childs_failure_takes_nothing_of_its_parent(redis: Redis, redis_server: RedisServer) -> None:
    """A failure in the child is written at once, without the tallies that its parent held."""
    _end(redis_server.url, "fork_and_fail")
    assert CircuitInRedis(redis).numbers("successful_calls", "failed_calls") == {
        "successful_calls": HELD + 1,
        "failed_calls": 1,
    }


@pytest.mark.parametrize("way", ["fork_in_a_block", "fork_in_a_call"])
def test_a_call_that_forks_is_its_parents(redis: Redis, redis_server: RedisServer, way: str) -> None:
    """A call that was let through before the fork counts once, and nothing of what the parent held twice."""
    _end(redis_server.url, way)
    assert CircuitInRedis(redis).numbers("successful_calls", "failed_calls") == {
        "successful_calls": HELD + 2,
        "failed_calls": 0,
    }


def test_forks_in_the_middle_of_everything_are_exact(redis: Redis, redis_server: RedisServer) -> None:
    """Forks at any moment, with threads and the keeper at work: all calls count once."""
    with Child(redis_server.url, "fork_while_busy", max_staleness=0.01) as child:
        told = child.hear()
        child.leave()
    assert set(told["codes"]) == {0}
    assert CircuitInRedis(redis).number("successful_calls") == told["made"]


def test_four_processes_let_no_probe_too_many_through(redis: Redis, redis_server: RedisServer) -> None:
    """Where four processes with three threads each call a half-open circuit, probes stay within the limit."""
    allowed = 2
    settings = {"half_open_max_calls": allowed, "success_threshold": 8, "max_staleness": 5}
    circuit = trip(new_breaker(redis, half_open_max_calls=allowed, success_threshold=8), redis)
    children = [Child(redis_server.url, "half_open", **settings) for _ in range(4)]
    try:
        for child in children:
            child.hear()
        circuit.elapse(60_000)
        for child in children:
            child.tell()
        ran = sorted((began, ended) for child in children for began, ended in child.hear()["ran"])
    finally:
        for child in children:
            child.__exit__(None, None, None)
    probes = ran[:8]
    assert len(ran) > 8
    assert circuit.number("half_open_to_closed") == 1
    for began, _ in probes:
        at_once = sum(since <= began < until for since, until in probes)
        assert at_once <= allowed


def test_scripts_grow_with_processes_and_not_with_calls(redis: Redis, redis_server: RedisServer) -> None:
    """Four busy processes send what four renew, however many calls they make."""
    load_scripts(redis)
    staleness = 0.1
    children = [Child(redis_server.url, "busy", max_staleness=staleness) for _ in range(4)]
    try:
        for child in children:
            child.hear()
        redis.config_resetstat()
        for child in children:
            child.tell()
        told = [child.hear() for child in children]
        scripts = number_of_scripts(redis)
    finally:
        for child in children:
            child.__exit__(None, None, None)
    seconds = max(one["seconds"] for one in told)
    assert scripts <= 4 * (seconds / staleness * (1 / 0.75 + 1) + 3)
    assert sum(one["calls"] for one in told) > 3 * scripts


def test_an_opening_in_another_process_is_noticed_within_the_bound(
    redis: Redis, redis_server: RedisServer
) -> None:
    """A call of another process that begins later than the staleness after the opening is rejected."""
    with Child(redis_server.url, "obey", max_staleness=STALENESS) as child:
        child.tell()
        assert child.hear()["ran"]
        # A success that is written among the failures would end their row.
        circuit = CircuitInRedis(redis)
        wait_until(lambda: circuit.field("successful_calls") == "1", "the success is written")
        trip(new_breaker(redis), redis)
        since = monotonic()  # one clock for all processes of a machine
        while True:
            child.tell()
            told = child.hear()
            if not told["ran"]:
                break
            assert told["began"] <= since + STALENESS
        assert told["why"] == "open"
    succeed(new_breaker(redis, name="another"))
