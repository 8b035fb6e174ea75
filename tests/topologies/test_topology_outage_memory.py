"""What a process remembers over an outage: the last shared state, what it owes, and nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from topology_children import Child
from topology_lifecycle import (
    SharedCircuit,
    be_rejected,
    fail,
    is_shared,
    new_breaker,
    passes,
    succeed,
    wait_for_tallies,
    wait_until,
    wait_until_shared,
)
from topology_outages import Place, frozen, killed, place_of, refused, running_server

from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.store.scripts import script

SETTINGS = {"redis_timeout": 0.3, "redis_retry_interval": 0.1}
REDIS_TIMEOUT = 0.3


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def place(server: RedisServer) -> Iterator[Place]:
    with place_of(server) as place:
        yield place


def test_each_outage_begins_from_the_shared_state(place: Place) -> None:
    """What one outage opened locally is forgotten with it: the next one begins as closed as Redis was."""
    breaker = new_breaker(place.url, **SETTINGS)
    succeed(breaker)
    with refused(place):
        fail(breaker, 3)
        be_rejected(breaker)
    wait_until_shared(breaker)
    succeed(breaker, 2)

    with refused(place):
        succeed(breaker, 2)
        fail(breaker, 2)
        succeed(breaker)
    wait_for_tallies(breaker, success=6, failure=5, rejected=1)


def test_metrics_during_an_outage_leave_no_state_behind(place: Place) -> None:
    """An outage in which only metrics were asked for leaves nothing that a later outage would begin from."""
    breaker = new_breaker(place.url, **SETTINGS)
    succeed(breaker)
    with refused(place):
        assert not is_shared(breaker)
    wait_until_shared(breaker)
    fail(breaker, 3)
    be_rejected(breaker)

    with refused(place):
        be_rejected(breaker, 2)


def test_held_circuit_stays_held_without_redis(place: Place) -> None:
    """A process that held the circuit open, and a process that has seen it held, keep it so without Redis."""
    first, second = (new_breaker(f"{place.url}?protocol={version}", **SETTINGS) for version in (2, 3))
    first.force_open("maintenance")
    be_rejected(second)

    with refused(place):
        assert be_rejected(second).why == "held_open"
        assert be_rejected(first).why == "held_open"


def test_disabled_circuit_stays_disabled_without_redis(place: Place) -> None:
    """A process that has seen the circuit disabled lets every call through without Redis as well."""
    breaker = new_breaker(place.url, **SETTINGS)
    breaker.disable("all must pass")
    succeed(breaker)

    with refused(place):
        fail(breaker, 10)
        succeed(breaker)


def test_open_period_ends_without_redis(place: Place) -> None:
    """An open circuit is probed locally when the rest of its time is over, and closes by the same rules."""
    breaker = new_breaker(place.url, timeout=0.5, redis_timeout=0.3, redis_retry_interval=30)
    fail(breaker, 3)
    be_rejected(breaker)
    with refused(place):
        retry_after = be_rejected(breaker).retry_after
        assert retry_after is not None
        assert retry_after <= 0.5
        wait_until(lambda: passes(breaker), "the first probe passes")
        succeed(breaker)
        assert breaker.get_state()["state"] == "closed"


def test_settlement_whose_answer_is_cut_is_added_once(place: Place) -> None:
    """A settlement that Redis took, and whose answer never came, is sent again and not added again."""
    breaker = new_breaker(place.url, **SETTINGS)
    succeed(breaker)
    place.admin.script_load(script("settle").source)
    with refused(place):
        succeed(breaker, 3)
        fail(breaker, 2)
    place.proxy.cut_answer_to(script("settle").sha)
    wait_until(lambda: is_shared(breaker) and place.proxy.has_cut, "the settlement was sent")

    wait_for_tallies(breaker, success=4, failure=2)
    succeed(breaker)
    wait_for_tallies(breaker, success=5, failure=2)
    assert len(SharedCircuit(place.admin).away_events()) == 1


@pytest.mark.parametrize("what", ["admit", "report"])
def test_call_whose_answer_is_cut_is_counted_once(place: Place, what: str) -> None:
    """A call of which one answer breaks off is made, decides and counts, once."""
    breaker = new_breaker(place.url, **SETTINGS)
    succeed(breaker)
    place.proxy.cut_answer_to(script(what).sha)

    fail(breaker)

    assert place.proxy.has_cut
    wait_for_tallies(breaker, success=1, failure=1)
    circuit = SharedCircuit(place.admin)
    assert (circuit.fields()["failure_count"], circuit.leases()) == ("1", 0)


def test_rejection_whose_answer_is_cut_is_counted_once_or_twice(place: Place) -> None:
    """A rejection of which the answer breaks off is tallied, and at most once more."""
    breaker = new_breaker(place.url, **SETTINGS)
    fail(breaker, 3)
    place.proxy.cut_answer_to(script("admit").sha)

    be_rejected(breaker)

    assert place.proxy.has_cut
    wait_for_tallies(breaker, failure=3, rejected=1, rejections_in_doubt=1)


def test_local_calls_that_end_in_the_next_outage_wait_for_nobody(place: Place) -> None:
    """Calls that began without Redis and end when it is away once more do not each wait for it."""
    held, number = threading.Event(), 6
    breaker = new_breaker(place.url, redis_timeout=REDIS_TIMEOUT, redis_retry_interval=30)
    other = new_breaker(place.url, name="other", redis_timeout=REDIS_TIMEOUT, redis_retry_interval=30)
    succeed(breaker)
    succeed(other)
    guard = breaker._store._guard
    began: list[float] = []
    took: list[float] = []
    entered = threading.Semaphore(0)

    def hold() -> str:
        entered.release()
        held.wait(30)
        began.append(time.monotonic())
        return "done"

    def call() -> None:
        breaker.call(hold)
        took.append(time.monotonic() - began[0])

    threads = [threading.Thread(target=call, daemon=True) for _ in range(number)]
    with refused(place):
        succeed(breaker)
        for thread in threads:
            thread.start()
            entered.acquire()
    # Let the interval be over at once, and not in half a minute.
    guard._try_at = 0.0
    wait_until_shared(breaker)
    with frozen(place):
        succeed(other)
        assert guard.is_away
        began.append(time.monotonic())
        held.set()
        for thread in threads:
            thread.join()
        assert max(took) < REDIS_TIMEOUT / 2
    guard._try_at = 0.0
    wait_for_tallies(breaker, success=2 + number)


@pytest.mark.parametrize("interval", [0.001, 60], ids=["short", "long"])
def test_tallies_arrive_when_the_process_leaves(place: Place, interval: float) -> None:
    """A process that ends while it is degraded, with Redis back, leaves nothing uncounted."""
    settings = {"redis_timeout": 1, "redis_retry_interval": interval}
    with Child(place.server.url, **settings) as child:
        assert child.ask("succeed") == "done"
        with killed(place):
            child.ask("succeed", 3)
            child.ask("fail", 2)
            assert child.ask("metrics")["redis_available"] is False
        told = child.leave()
    circuit = SharedCircuit(place.admin)

    assert "Traceback" not in told
    assert (circuit.fields()["successful_calls"], circuit.fields()["failed_calls"]) == ("4", "2")
    assert len(circuit.away_events()) == 1


def test_process_that_leaves_without_redis_leaves_at_once(place: Place) -> None:
    """A process that ends while Redis hangs waits for it no longer than redis_timeout, and ends well."""
    with ExitStack() as stack, Child(place.server.url, redis_timeout=0.3) as child:
        child.ask("succeed")
        stack.enter_context(frozen(place))
        child.ask("succeed", 2)
        began = time.monotonic()
        told = child.leave()
        assert time.monotonic() - began < 0.3 + 5
    assert "Traceback" not in told
