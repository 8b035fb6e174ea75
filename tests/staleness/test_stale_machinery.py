"""The parts of holding back, by themselves: elsewhere only a rare order of threads shows their defects."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import pytest
from redis import Redis
from stale_circuits import hold, stale_breaker, unwritten, wait_until

from circuit_in_redis import CircuitInRedis, succeed
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.store.held_back import HeldBack
from sharedbreaker.store.keeper import Keeper
from sharedbreaker.store.view import Tally, View


def _names() -> Callable[[], str]:
    numbers = itertools.count()
    return lambda: f"batch{next(numbers)}"


def _view(**times: int) -> View:
    view = View("orders", "7")
    for outcome, number in times.items():
        for _ in range(number):
            view.add(Outcome(outcome))
    return view


def test_a_tally_is_taken_once() -> None:
    """What is added is taken once, and looking at it takes nothing."""
    tally = Tally()
    for _ in range(3):
        tally.add()
    assert tally.waiting() == tally.waiting() == 3
    assert tally.take() == 3
    assert tally.waiting() == 0
    tally.add()
    assert tally.take() == 1
    assert tally.take() == 0


def test_a_tally_is_exact_while_threads_add() -> None:
    """All that eight threads add is taken, by somebody who takes all the time."""
    tally = Tally()
    threads = [threading.Thread(target=lambda: [tally.add() for _ in range(20_000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    taken = 0
    while any(thread.is_alive() for thread in threads):
        taken += tally.take()
    assert taken + tally.take() == 160_000


def test_a_batch_is_under_way_until_it_is_confirmed() -> None:
    """What was taken into a batch waits still, as long as nobody knows that it has arrived."""
    held = HeldBack(60)
    batch = held.batch_of(_view(success=3, ignored=1), _names())
    assert held.calls == 4
    held.sending(batch)
    held.confirm(batch)
    assert held.calls == 0
    assert held.told() == batch.name
    assert held.told() == ""


def test_a_batch_that_failed_is_told_again_as_it_was() -> None:
    """A batch without an answer comes again under its name, and is not named as told after two sendings."""
    held, new_name = HeldBack(60), _names()
    batch = held.batch_of(_view(success=3), new_name)
    held.sending(batch)
    held.failed(batch)
    assert held.calls == 3
    again = held.next_batch(new_name)
    assert again == batch
    held.sending(batch)
    held.confirm(batch)
    assert held.told() == ""
    assert held.next_batch(new_name) is None


def test_a_batch_that_is_called_back_is_told_by_both() -> None:
    """What is under way in a thread that may be stopped is told by another one, and is there once."""
    held, new_name = HeldBack(60), _names()
    batch = held.batch_of(_view(success=3), new_name)
    held.sending(batch)
    held.call_back()
    assert held.calls == 3
    assert not held.is_told
    assert held.next_batch(new_name) == batch
    held.sending(batch)
    held.confirm(batch)
    held.failed(batch)  # the other one heard nothing
    assert held.calls == 3
    assert held.next_batch(new_name) == batch
    assert held.next_batch(new_name) is None
    assert held.told() == ""


@pytest.mark.parametrize("failures", [1, 3])
def test_failures_that_were_counted_stay_beside_another(failures: int) -> None:
    """A failure that is told with what was counted replaces no failure among it."""
    from sharedbreaker.circuit.report import report_of

    view = _view(failure=failures, success=2)
    batch = HeldBack(60).batch_of(view, _names(), report_of(view.nobody, Outcome.FAILURE, ValueError()))
    assert batch.outcomes == {Outcome.FAILURE: failures + 1, Outcome.SUCCESS: 2}
    assert batch.exception == "ValueError"


class _AsksAgain:
    """Something that is counted again while the keeper is about to leave it."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.seen = 0
        self.seen_twice = threading.Event()

    def keep(self) -> float | None:
        self.seen += 1
        if self.seen == 1:
            self._keeper.watch(self, 0)
        else:
            self.seen_twice.set()
        return None


def test_who_asks_while_the_keeper_leaves_is_seen_to() -> None:
    """Whoever asks to be seen to while the keeper finds nothing left to do there is seen to again."""
    keeper = Keeper()
    kept = _AsksAgain(keeper)
    keeper.watch(kept, 0)
    assert kept.seen_twice.wait(5)


class _Meddling:
    """A lock in front of a store's own, which lets something happen before it is taken."""

    def __init__(self, lock: threading.Lock, before: Callable[[], None]) -> None:
        self._lock = lock
        self._before: Callable[[], None] | None = before

    def __enter__(self) -> None:
        before, self._before = self._before, None
        if before is not None:
            before()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_a_view_that_is_replaced_while_the_keeper_looks_is_not_forgotten(redis: Redis) -> None:
    """A call that ends on a view which was replaced under the keeper's eyes is written."""
    breaker = stale_breaker(redis)
    hold(breaker, 1)
    store = breaker._store
    view = store.view
    lock = store._lock

    def replace() -> None:
        with lock:
            store._replace_view(View("orders", "1"))
        store._settle_soon()

    store._lock = _Meddling(lock, replace)  # type: ignore[assignment]
    store.keep()
    store._lock = lock
    assert store.view is not view
    circuit = CircuitInRedis(redis)
    wait_until(lambda: circuit.number("successful_calls") == 2, "what was held back is written", 5)
    wait_until(lambda: not store._may_owe, "nothing is owed", 5)
    view.add_success()
    if not view.is_watched:
        store.look_after(view)
    wait_until(lambda: circuit.number("successful_calls") == 3, "the call is written", 5)
    succeed(breaker)
    assert unwritten(breaker) <= 1
