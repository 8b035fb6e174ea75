"""One count for a whole fleet, and none of it lost: SB-017 and SB-018."""

from __future__ import annotations

import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests
from case_app import UPSTREAM
from case_worker import fail_in_tasks
from redis import Redis
from running_example import serving
from worker import fail_again_and_again
from workforce import all_at_once, workers

from circuit_in_redis import CircuitInRedis, fail, new_breaker, succeed
from sharedbreaker import CircuitBreakerError
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.store.scripts import script

WORKERS = 4
PATIENCE_REQUESTS = 4000


def failing_at_once(
    kind: str, url: str, *, processes: int, times: int, **settings: Any
) -> list[dict[str, int]]:
    """Have so many processes make four times so many failing calls each; tell how these ended."""
    task = fail_in_tasks if kind == "async" else fail_again_and_again
    callers: dict[str, Any] = {"tasks" if kind == "async" else "threads": 4}
    with workers(processes, task, url=url, times=times, **callers, **settings) as crew:
        return all_at_once(crew)


def test_sb017_no_failure_of_processes_that_fail_at_once_is_lost(
    redis_server: RedisServer, redis: Redis, breaker_kind: str
) -> None:
    """Ten processes, strict, or four whose tasks act on views: all their failures are there, in a row."""
    is_async = breaker_kind == "async"
    processes = 4 if is_async else 10
    settings = {"failure_threshold": 1_000_000, "max_staleness": 3600 if is_async else 0}
    failing_at_once(breaker_kind, redis_server.url, processes=processes, times=50, **settings)

    assert CircuitInRedis(redis).numbers("failed_calls", "failure_count", "late_results", "lost_calls") == {
        "failed_calls": processes * 200,
        "failure_count": processes * 200,
        "late_results": 0,
        "lost_calls": 0,
    }


def test_sb017_fleet_that_fails_at_once_opens_it_once(
    redis_server: RedisServer, redis: Redis, breaker_kind: str
) -> None:
    """Whoever reports the fiftieth failure opens the circuit; nobody else does, and nobody is missed."""
    ends = failing_at_once(breaker_kind, redis_server.url, processes=4, times=50, failure_threshold=50)

    circuit = CircuitInRedis(redis)
    assert circuit.moves() == ["closed_to_open"]
    assert circuit.transitions() == {"closed_to_open": 1}
    assert circuit.number("failed_calls") == sum(end.get("failure", 0) for end in ends)
    assert circuit.number("failed_calls") - circuit.number("late_results") == 50


def test_sb017_each_report_is_one_script_and_a_replay_of_them_comes_to_the_same(
    redis_server: RedisServer, redis: Redis
) -> None:
    """Mixed ends of four breakers at once: two commands per call, counted in the order that they ran in."""
    breakers = [new_breaker(redis, failure_threshold=1_000_000) for _ in range(4)]
    for breaker in breakers:
        succeed(breaker)
    before = CircuitInRedis(redis).numbers("failed_calls", "successful_calls")

    def call(number: int) -> None:
        luck = random.Random(number)
        for _ in range(50):
            luck.choice([succeed, fail])(breakers[number])

    commands = monitored(redis_server, lambda: list(ThreadPoolExecutor(4).map(call, range(4))))

    run_by_callers = [
        words for words in commands if words[0] in {"EVALSHA", "EVAL", "HSET", "HINCRBY", "SET"}
    ]
    reports = [words for words in run_by_callers if words[1] == script("report").sha]
    admissions = [words for words in run_by_callers if words[1] == script("admit").sha]
    assert len(reports) == len(admissions) == 200
    assert len(run_by_callers) == 400
    failures = row = 0
    for words in reports:
        is_failure = "failure" in words
        failures += is_failure
        row = row + 1 if is_failure else 0
    circuit = CircuitInRedis(redis)
    assert circuit.number("failure_count") == row
    assert circuit.number("failed_calls") - before["failed_calls"] == failures
    assert circuit.number("successful_calls") - before["successful_calls"] == 200 - failures


@pytest.mark.parametrize("max_staleness", [0, 0.02], ids=["strict", "stale"])
def test_peer_failure_opens_although_others_keep_succeeding(redis: Redis, max_staleness: float) -> None:
    """With a threshold of one the failure of one worker opens while three others succeed all the time."""
    one, *others = (new_breaker(redis, failure_threshold=1, max_staleness=max_staleness) for _ in range(4))
    circuit = CircuitInRedis(redis)
    for _ in range(5):
        stop = threading.Event()
        at_work = threading.Barrier(4)
        succeeding = [threading.Thread(target=keep_on, args=(other, stop, at_work)) for other in others]
        for thread in succeeding:
            thread.start()
        at_work.wait(20)
        fail(one)
        state = circuit.field("state")
        stop.set()
        for thread in succeeding:
            thread.join(20)
        assert (state, circuit.field("state")) == ("open", "open")
        one.force_close()
    assert circuit.transitions() == {"closed_to_open": 5, "open_to_closed": 5}


def keep_on(breaker: Any, stop: threading.Event, at_work: threading.Barrier) -> None:
    """Succeed until the circuit opens, or it is enough."""
    breaker.force_close()
    succeed(breaker)
    at_work.wait(20)
    with suppress(CircuitBreakerError):
        while not stop.is_set():
            breaker.call(int)


def test_sb018_threshold_is_one_for_all_workers_of_gunicorn(
    redis_server: RedisServer, redis: Redis, breaker_kind: str, tmp_path: Path
) -> None:
    """Behind four workers five failures reach the service, and then each of the four rejects."""
    worker_class = "uvicorn_worker.UvicornWorker" if breaker_kind == "async" else "sync"
    app = "case_app:asgi" if breaker_kind == "async" else "case_app:wsgi"
    command = [
        "gunicorn",
        "--bind",
        "127.0.0.1:PORT",
        "--workers",
        str(WORKERS),
        "--worker-class",
        worker_class,
    ]
    where = ["--chdir", str(Path(__file__).parent), app]
    environment = {**os.environ, "SHAREDBREAKER_REDIS_URL": redis_server.url, "NO_PROXY": "127.0.0.1"}
    with serving([*command, *where], environment, tmp_path / "log") as url:
        statuses = [requests.get(f"{url}/call", timeout=20).status_code for _ in range(40)]
        rejecting = workers_that_answer(f"{url}/call", 503)

    assert statuses == [502] * 5 + [503] * 35
    assert redis.get(UPSTREAM) == "5"
    redis.delete(UPSTREAM)
    assert len(rejecting) == WORKERS


def workers_that_answer(url: str, status: int) -> set[str]:
    """Ask until every worker has answered, always with ``status``; return who they are."""
    seen: set[str] = set()

    def ask(_: int) -> requests.Response:
        return requests.get(url, timeout=20)

    numbers = count()
    with ThreadPoolExecutor(WORKERS) as pool:
        while len(seen) < WORKERS and next(numbers) < PATIENCE_REQUESTS // WORKERS:
            for answer in pool.map(ask, range(WORKERS)):
                assert answer.status_code == status
                seen.add(answer.text)
    return seen


def monitored(server: RedisServer, do: Any) -> list[list[str]]:
    """The commands that clients send while something is done, without those that scripts run."""
    commands: list[list[str]] = []
    client = server.client(decode_responses=True)
    end = "the end of what is watched"
    with client.monitor() as monitor:
        do()
        client.echo(end)
        for heard in monitor.listen():
            if end in heard["command"]:
                break
            if heard["client_type"] != "lua":
                commands.append(heard["command"].split(" "))
    client.close()
    return commands
