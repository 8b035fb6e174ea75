"""What the other processes of these tests do. Run as a program: ``worker.py TASK JSON``.

It says ``ready`` on its standard output, waits for a line on its standard input, and answers with JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from redis import Redis
from worker_basics import (
    BadRequestError,
    breaker_of,
    counted,
    end_of,
    run_all,
    say,
    service_down,
    wait_for_the_word,
)

from sharedbreaker import CircuitBreaker, CircuitBreakerError, Outcome


def call_in_threads(url: str, upstream_url: str, *, threads: int, **settings: Any) -> list[str]:
    """Call at once from many threads a service that counts its callers and holds them until it is told."""
    breaker = breaker_of(url, **settings)
    upstream = Redis.from_url(upstream_url)
    at_once = threading.Barrier(threads)
    ends: list[str] = []

    def service() -> None:
        upstream.incr("inside")
        upstream.blpop(["let_go"], 60)

    def caller() -> None:
        at_once.wait(60)
        end = end_of(breaker, service)
        ends.append(end)
        upstream.incr(end)

    run_all([threading.Thread(target=caller) for _ in range(threads)])
    return ends


def call_again_and_again(
    url: str, upstream_url: str, *, threads: int, times: int, **settings: Any
) -> dict[str, int]:
    """Call from many threads a service that counts how many of its callers are inside at once."""
    breaker = breaker_of(url, **settings)
    upstream = Redis.from_url(upstream_url)
    ends: list[str] = []

    def service() -> None:
        upstream.rpush("seen", upstream.incr("inside"))
        upstream.decr("inside")

    def caller() -> None:
        for _ in range(times):
            ends.append(end_of(breaker, service))  # noqa: PERF401 - seen by all threads as it grows

    run_all([threading.Thread(target=caller) for _ in range(threads)])
    return counted(ends)


def stay_inside(url: str, **settings: Any) -> str:
    """Enter a call and say so; leave it at a word."""

    def work() -> None:
        say("inside")
        sys.stdin.readline()

    return end_of(breaker_of(url, **settings), work)


def call_once(url: str, **settings: Any) -> dict[str, Any]:
    """One call at the word; tell how it ended and when to come back."""
    breaker = breaker_of(url, **settings)
    wait_for_the_word()
    return first_call(breaker)


def first_call(breaker: CircuitBreaker) -> dict[str, Any]:
    try:
        breaker.call(int)
    except CircuitBreakerError as error:
        return {"end": f"rejected_{error.state}", "retry_after": error.retry_after}
    return {"end": "success", "retry_after": None}


def only_construct(url: str, **settings: Any) -> str:
    """Create breakers of many settings and call none."""
    for number in range(1, 11):
        breaker_of(url, **{**settings, "failure_threshold": number, "timeout": number})
    return "done"


def mix(url: str, *, seed: int, calls: int, **settings: Any) -> dict[str, int]:
    """So many calls of every outcome, as the seed has it."""
    breaker = breaker_of(url, **settings)
    luck = random.Random(seed)
    ends = dict.fromkeys(("success", "failure", "ignored", "released"), 0)

    def bad_request() -> None:
        raise BadRequestError("400")

    def interrupted() -> None:
        raise luck.choice((KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError))

    works: list[Callable[[], object]] = [int, int, int, service_down, service_down, bad_request, interrupted]
    wait_for_the_word()
    for _ in range(calls):
        ends[end_of(breaker, luck.choice(works))] += 1
    return ends


def fail_again_and_again(url: str, *, threads: int, times: int, **settings: Any) -> dict[str, int]:
    """Every call fails, from many threads at once."""
    breaker = breaker_of(url, **settings)
    ends: list[str] = []

    def caller() -> None:
        for _ in range(times):
            ends.append(end_of(breaker, service_down))  # noqa: PERF401 - seen by all threads as it grows

    run_all([threading.Thread(target=caller) for _ in range(threads)])
    return counted(ends)


def with_another_clock(url: str, *, offset: float, threshold: int, **settings: Any) -> dict[str, Any]:
    """One failing call and one more, in a process whose clocks are off by so many seconds."""
    real = {name: getattr(time, name) for name in ("time", "time_ns")}
    time.time = lambda: real["time"]() + offset
    time.time_ns = lambda: real["time_ns"]() + int(offset * 1e9)
    breaker = breaker_of(url, failure_threshold=threshold, **settings)
    wait_for_the_word()
    if threshold == 1:
        return {"end": end_of(breaker, service_down), "retry_after": None}
    return first_call(breaker)


def fork_a_family(url: str, *, children: int, calls: int) -> list[dict[str, Any]]:
    """Warm up, fork, and have parent and children call their own circuit and a common one."""
    common = breaker_of(url, name="common", failure_threshold=1_000_000)
    own = [
        breaker_of(url, name=f"own{number}", failure_threshold=1_000_000) for number in range(children + 1)
    ]
    for breaker in (common, *own):
        breaker.call(int)
    wait_for_the_word()
    pipes = []
    for number in range(children):
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            story = {"error": "died"}
            try:
                story = live(common, own[number + 1], calls)
            except BaseException as error:
                story = {"error": repr(error)}
            finally:
                os.write(write_end, json.dumps(story).encode())
                os._exit(0)
        os.close(write_end)
        pipes.append((pid, read_end))
    stories = [live(common, own[0], calls)]
    for pid, read_end in pipes:
        with os.fdopen(read_end) as pipe:
            stories.append(json.loads(pipe.read()))
        os.waitpid(pid, 0)
    return stories


def live(common: CircuitBreaker, own: CircuitBreaker, calls: int) -> dict[str, Any]:
    """Call both circuits, every second call of the common one a failure; tell some tokens."""
    tokens = []
    for number in range(calls):
        own.call(int)
        admission = common.admit()
        tokens.append(admission.token)
        common.report(admission, Outcome.FAILURE if number % 2 else Outcome.SUCCESS)
    own.force_close("told by its process")
    return {"pid": os.getpid(), "tokens": tokens, "own": own.get_metrics()["successful_calls"]}


def fork_with_a_report_owed(url: str) -> dict[str, int]:
    """Fork while the parent owes Redis a report that could not be told."""
    admin = Redis.from_url(url, decode_responses=True)
    breaker = breaker_of(url, redis_retry_interval=0.001)
    breaker.call(int)
    admission = breaker.admit()
    wait_for_the_word()
    admin.execute_command("ACL", "SETUSER", "default", "-@scripting")
    breaker.report(admission, Outcome.FAILURE)
    pid = os.fork()
    if pid == 0:
        try:
            admin.execute_command("ACL", "SETUSER", "default", "+@all")
            for _ in range(20):
                breaker.call(int)
                breaker.get_metrics()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    told = {"after_the_child": failed_calls(admin)}
    deadline = time.monotonic() + 20
    while failed_calls(admin) == 0 and time.monotonic() < deadline:
        breaker.call(int)
    breaker.call(int)
    told["after_the_parent"] = failed_calls(admin)
    return told


def failed_calls(admin: Redis) -> int:
    return int(admin.hget("sharedbreaker:{orders}", "failed_calls") or 0)


kept_to_the_end: list[Iterator[None]] = []


def leave_a_block_open(url: str, *, warm: bool) -> str:
    """End the process with a guarded generator half-way: Python closes it when almost nothing is left."""
    breaker = breaker_of(url, redis_timeout=0.5)
    if warm:
        breaker.call(int)

    def stream() -> Iterator[None]:
        with breaker:
            yield

    parts = stream()
    next(parts)
    kept_to_the_end.append(parts)
    wait_for_the_word()
    return "leaving"


def leave_inside_a_call(url: str) -> None:
    """End the process by sys.exit in the middle of a call."""
    breaker = breaker_of(url, failure_threshold=1, expected_exception=Exception)
    wait_for_the_word()
    say(json.dumps("leaving"))
    breaker.call(sys.exit, 0)


TASKS: dict[str, Callable[..., Any]] = {
    task.__name__: task
    for task in (
        call_in_threads,
        call_again_and_again,
        stay_inside,
        call_once,
        only_construct,
        mix,
        fail_again_and_again,
        with_another_clock,
        fork_a_family,
        fork_with_a_report_owed,
        leave_a_block_open,
        leave_inside_a_call,
    )
}

if __name__ == "__main__":
    answer = TASKS[sys.argv[1]](**json.loads(sys.argv[2]))
    say(json.dumps(answer))
