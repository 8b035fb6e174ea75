"""The thread that tells Redis what it is owed: whatever is owed while it runs, it tells as well."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from cutting_proxy import CuttingProxy
from redis import Redis

from circuit_in_redis import CircuitInRedis, new_breaker
from sharedbreaker import Outcome
from sharedbreaker.circuit.report import report_of
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.store.alone import Alone
from sharedbreaker.store.guard import Guard
from sharedbreaker.store.link import Link
from sharedbreaker.store.scripts import script
from sharedbreaker.store.steps import Command

PATIENCE_SECONDS = 20


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[CuttingProxy]:
    with CuttingProxy(redis_server.port) as proxy:
        yield proxy


pytestmark = pytest.mark.sync_only("a thread tells for both")


def test_what_is_owed_while_the_thread_is_at_its_end_is_told_too() -> None:
    """A thread that has been through the books once and is still there goes through them again when asked."""
    guard = Guard(1)
    runs: list[int] = []
    is_through, may_end = threading.Event(), threading.Event()

    def settle() -> None:
        runs.append(1)
        is_through.set()
        may_end.wait(PATIENCE_SECONDS)

    guard.settle_soon(settle)
    assert is_through.wait(PATIENCE_SECONDS)
    guard.settle_soon(settle)
    may_end.set()

    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(runs) < 2:
        assert time.monotonic() < deadline, "nobody went through the books again"
        time.sleep(0.001)
    while guard._settler is not None:
        assert time.monotonic() < deadline, "the thread does not end"
        time.sleep(0.001)
    assert len(runs) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_that_broke_down_is_replaced() -> None:
    """Where going through the books raised, the next who owes something starts another thread."""
    guard = Guard(1)
    has_run = threading.Event()

    def breaks_down() -> None:
        raise SystemExit

    guard.settle_soon(breaks_down)
    settler = guard._settler
    if settler is not None:
        settler.join(PATIENCE_SECONDS)
    guard.settle_soon(has_run.set)

    assert has_run.wait(PATIENCE_SECONDS)


class Gate:
    """Stops the threads that are on their way to Redis with a script."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.is_reached, self.is_open = threading.Event(), threading.Event()
        run = Link.run
        sha = script(name).sha

        def stopped(link: Link, command: Command) -> object:
            is_ours = threading.current_thread().name.startswith("sharedbreaker-")
            if is_ours and sha in command.words and not self.is_open.is_set():
                self.is_reached.set()
                self.is_open.wait(PATIENCE_SECONDS)
            return run(link, command)

        monkeypatch.setattr(Link, "run", stopped)


def test_process_that_leaves_waits_for_what_is_on_its_way(
    redis_server: RedisServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a thread has in hand, and has not sent yet, is not lost where the process leaves now."""
    breaker = new_breaker(redis_server.url)
    circuit = CircuitInRedis(redis)
    gate = Gate(monkeypatch, "report")
    breaker._store.report_later(report_of(breaker.admit(), Outcome.SUCCESS, None))
    assert gate.is_reached.wait(PATIENCE_SECONDS)
    told: list[bool] = []
    leaving = threading.Thread(target=lambda: told.append(breaker._store.settle_at_exit()))

    leaving.start()
    leaving.join(0.1)
    has_left = not leaving.is_alive()
    if not has_left:
        gate.is_open.set()
        leaving.join(PATIENCE_SECONDS)

    try:
        assert told == [True]
        assert circuit.number("successful_calls") == 1
        assert circuit.leases() == {}
    finally:
        gate.is_open.set()


def test_call_that_ends_as_redis_comes_back_is_not_called_written(
    proxy: CuttingProxy, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks in that very moment sees it as unwritten, and it is told without a further call."""
    breaker = new_breaker(proxy.url, redis_timeout=0.3, redis_retry_interval=0.001)
    breaker.call(int)
    store = breaker._store
    circuit = CircuitInRedis(redis)
    seen: list[tuple[object, int]] = []

    def look() -> None:
        unwritten = breaker.get_metrics()["unwritten_calls"]
        seen.append((unwritten, circuit.number("successful_calls")))

    looks = threading.Thread(target=look)
    come_back = Alone.come_back

    def call_and_look_meanwhile(alone: Alone) -> int:
        away_us = come_back(alone)
        store.view.add(Outcome.SUCCESS)
        looks.start()
        looks.join(0.2)
        return away_us

    monkeypatch.setattr(Alone, "come_back", call_and_look_meanwhile)
    proxy.lose_reply_to("admit", silently=True)
    breaker.call(int)

    deadline = time.monotonic() + PATIENCE_SECONDS
    while not looks.ident:
        breaker.get_metrics()
        assert time.monotonic() < deadline, "Redis never came back"
    looks.join(PATIENCE_SECONDS)
    assert seen[0] in ((1, 2), (1, 3), (0, 3))

    while circuit.number("successful_calls") < 3:
        assert time.monotonic() < deadline, "nobody tells of the call"
        time.sleep(0.001)
