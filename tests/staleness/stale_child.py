"""A process with one breaker that acts on views, and one way of ending.

Run as `python stale_child.py URL WAY [SETTINGS_IN_JSON]`. It prints a line of JSON when it has done its part.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from stale_circuits import hold, stale_breaker, unwritten

from circuit_in_redis import ServiceDownError, be_ignored, service_down, succeed, work
from sharedbreaker import CircuitBreaker, CircuitBreakerError

HELD = 5


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def plain(breaker: CircuitBreaker) -> None:
    hold(breaker, HELD)


def sys_exit(breaker: CircuitBreaker) -> None:
    hold(breaker, HELD)
    sys.exit(0)


def exception(breaker: CircuitBreaker) -> None:
    hold(breaker, HELD)
    raise RuntimeError("what ends this process")


def all_kinds(breaker: CircuitBreaker) -> None:
    hold(breaker, HELD)
    be_ignored(breaker, 3)
    with contextlib.suppress(TypeError):
        breaker.call(_returns_awaitable)


async def _awaited_by_nobody() -> None: ...


def _returns_awaitable() -> Any:
    return _awaited_by_nobody()


def rejections(breaker: CircuitBreaker) -> None:
    breaker.force_open("maintenance")
    for _ in range(HELD):
        with contextlib.suppress(CircuitBreakerError):
            breaker.call(work)


def threads(breaker: CircuitBreaker) -> None:
    for _ in range(4):
        threading.Thread(target=succeed, args=(breaker, 50)).start()


def timer_under_way(breaker: CircuitBreaker) -> None:
    """Leave just when the timer has sent its batch, which never arrives."""
    hold(breaker, HELD)
    say(held=unwritten(breaker))
    sys.stdin.readline()


def no_time_left(breaker: CircuitBreaker) -> None:
    hold(breaker, HELD)
    with contextlib.suppress(ServiceDownError):
        breaker.call(service_down)
    succeed(breaker, HELD)
    say(held=unwritten(breaker))
    time.sleep(60)


def _calls_in_child(breaker: CircuitBreaker) -> None:
    succeed(breaker, HELD)


def child_of_multiprocessing(breaker: CircuitBreaker) -> None:
    """Fork as multiprocessing does, with tallies in hand."""
    hold(breaker, HELD)
    child = multiprocessing.get_context("fork").Process(target=_calls_in_child, args=(breaker,))
    child.start()
    child.join(20)
    assert child.exitcode == 0


def _spawned(url: str) -> None:
    succeed(stale_breaker(url), HELD)


def spawned_by_multiprocessing(breaker: CircuitBreaker) -> None:
    child = multiprocessing.get_context("spawn").Process(target=_spawned, args=(sys.argv[1],))
    child.start()
    child.join(30)
    assert child.exitcode == 0


def fork_with_tallies(breaker: CircuitBreaker) -> None:
    hold(breaker, HELD)
    child = os.fork()
    succeed(breaker, HELD)
    if child:
        os.waitpid(child, 0)


def fork_and_fail(breaker: CircuitBreaker) -> None:
    hold(breaker, HELD)
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    with contextlib.suppress(ServiceDownError):
        breaker.call(service_down)


def fork_in_a_block(breaker: CircuitBreaker) -> None:
    """The child leaves the block that its parent began, by the service's failure."""
    hold(breaker, HELD)
    child = 0
    with contextlib.suppress(ServiceDownError), breaker:
        child = os.fork()
        if not child:
            raise ServiceDownError
    if child:
        os.waitpid(child, 0)


def fork_in_a_call(breaker: CircuitBreaker) -> None:
    """So it is with a function that forks."""
    hold(breaker, HELD)

    def forks() -> int:
        child = os.fork()
        if not child:
            raise ServiceDownError
        return child

    with contextlib.suppress(ServiceDownError):
        os.waitpid(breaker.call(forks), 0)


def fork_while_busy(breaker: CircuitBreaker) -> None:
    """Fork again and again while threads call and the keeper renews."""
    made = [0] * 4
    ends = threading.Event()

    def calls(number: int) -> None:
        while not ends.is_set():
            succeed(breaker)
            made[number] += 1
            time.sleep(0.0005)

    running = [threading.Thread(target=calls, args=(number,)) for number in range(len(made))]
    for thread in running:
        thread.start()
    children = []
    for _ in range(6):
        time.sleep(0.02)
        child = os.fork()
        if not child:
            succeed(breaker, HELD)
            return
        children.append(child)
    ends.set()
    for thread in running:
        thread.join()
    codes = [os.waitpid(child, 0)[1] for child in children]
    say(made=sum(made) + HELD * len(children), codes=codes)


def half_open(breaker: CircuitBreaker) -> None:
    """Call as fast as it goes when told to, and say which calls ran, and when."""
    say(ready=True)
    sys.stdin.readline()
    ran: list[tuple[float, float]] = []
    lock = threading.Lock()

    def function() -> None:
        began = time.monotonic()
        time.sleep(0.02)
        with lock:
            ran.append((began, time.monotonic()))

    def calls() -> None:
        ends = time.monotonic() + 0.6
        while time.monotonic() < ends:
            with contextlib.suppress(CircuitBreakerError):
                breaker.call(function)

    running = [threading.Thread(target=calls) for _ in range(3)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    say(ran=ran)


def busy(breaker: CircuitBreaker) -> None:
    """Call for half a second when told to; say how many calls that were."""
    succeed(breaker)
    say(ready=True)
    sys.stdin.readline()
    began = time.monotonic()
    calls = 0
    while time.monotonic() - began < 0.5:
        succeed(breaker, 10)
        calls += 10
    say(calls=calls, seconds=time.monotonic() - began)
    sys.stdin.readline()


def obey(breaker: CircuitBreaker) -> None:
    """Make a call for each line; say when it began and whether it ran."""
    for _ in sys.stdin:
        began = time.monotonic()
        try:
            breaker.call(work)
        except CircuitBreakerError as error:
            say(began=began, ran=False, why=error.why)
        else:
            say(began=began, ran=True)


def two_circuits(breaker: CircuitBreaker) -> None:
    """Hold back calls of two circuits, the first of which Redis cannot serve when this process leaves."""
    other = stale_breaker(sys.argv[1], name="payments")
    hold(breaker, HELD)
    hold(other, HELD)
    say(held=True)
    sys.stdin.readline()


def main(url: str, way: str, settings: str = "{}") -> None:
    ways: dict[str, Callable[[CircuitBreaker], None]] = {
        name: way for name, way in globals().items() if callable(way)
    }
    breaker = stale_breaker(url, **json.loads(settings))
    ways[way](breaker)


if __name__ == "__main__":
    main(*sys.argv[1:])
