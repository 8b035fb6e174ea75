"""Changes made elsewhere while a process acts on a view: noticed within the bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from held_call import HeldCall
from redis import Redis
from stale_circuits import (
    STALENESS,
    hold,
    stale_breaker,
    wait_until,
)

from circuit_in_redis import (
    CircuitInRedis,
    ServiceDownError,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    trip,
    work,
)
from sharedbreaker import CircuitBreaker, CircuitBreakerError


def _opened_by_failures(redis: Redis) -> None:
    trip(new_breaker(redis), redis)


def _held_open(redis: Redis) -> None:
    new_breaker(redis).force_open("elsewhere")


@pytest.mark.parametrize("has_timer", [True, False], ids=["timer", "calls"])
@pytest.mark.parametrize("opened", [_opened_by_failures, _held_open])
def test_an_opening_elsewhere_is_noticed_within_the_bound(
    redis: Redis, opened: Callable[[Redis], None], has_timer: bool
) -> None:
    """No call that begins later than the staleness after an opening elsewhere is let through.

    The timer renews a view before it is too old; where it does not come by, calls do.
    """
    breaker = stale_breaker(redis, STALENESS)
    hold(breaker, 0)  # a success that is written among the failures would end their row
    if not has_timer:
        _stop_timer(breaker)
        succeed(breaker)
    opened(redis)
    since = monotonic()
    late = _calls_let_through_after(breaker, since + STALENESS)
    assert not late, f"calls were let through {late} s after the bound"


def _stop_timer(breaker: CircuitBreaker) -> None:
    breaker._store.keep = lambda: None  # type: ignore[method-assign]


def test_an_answer_that_was_long_under_way_is_as_old_as_its_question(redis: Redis) -> None:
    """A view is good from when it was asked for, and not from when the answer was there."""
    breaker, other = stale_breaker(redis, STALENESS), new_breaker(redis)
    _stop_timer(breaker)
    shared = breaker._store._shared
    refresh = shared.refresh
    opened_at: list[float] = []

    def slow_refresh(*arguments: Any) -> Any:
        reading = yield from refresh(*arguments)
        if not opened_at:
            other.force_open("elsewhere")
            opened_at.append(monotonic())
            time.sleep(STALENESS / 2)
        return reading

    shared.refresh = slow_refresh  # type: ignore[assignment,method-assign]
    succeed(breaker)
    late = _calls_let_through_after(breaker, opened_at[0] + STALENESS)
    assert not late, f"calls were let through {late} s after the bound"


def _calls_let_through_after(breaker: CircuitBreaker, bound: float) -> list[float]:
    """Call until one is rejected; return how much after `bound` calls began that were let through."""
    late: list[float] = []
    while True:
        began = monotonic()
        assert began < bound + 10, "the opening was never noticed"
        try:
            breaker.call(work)
        except CircuitBreakerError:
            return late
        if began > bound:
            late.append(began - bound)


def test_a_closing_elsewhere_is_noticed_within_the_bound(redis: Redis) -> None:
    """No call that begins later than the staleness after a closing elsewhere is rejected."""
    breaker, other = stale_breaker(redis, STALENESS), new_breaker(redis)
    other.force_open("maintenance")
    be_rejected(breaker)
    other.force_close("done")
    bound = monotonic() + STALENESS
    while True:
        began = monotonic()
        try:
            breaker.call(work)
        except CircuitBreakerError:
            assert began <= bound
        else:
            return


def test_disabling_elsewhere_is_noticed_within_the_bound(redis: Redis) -> None:
    """A circuit that was disabled elsewhere lets calls through within the bound, and stays so."""
    breaker, other = stale_breaker(redis, STALENESS), new_breaker(redis)
    trip(breaker, redis)
    other.disable("maintenance")
    bound = monotonic() + STALENESS
    while not _passes(breaker):
        assert monotonic() <= bound + STALENESS
    fail(breaker, 10)
    succeed(breaker)
    assert CircuitInRedis(redis).number("failed_calls") == 13
    other.enable("done")
    time.sleep(STALENESS)
    fail(breaker, 3)
    be_rejected(breaker)


def _passes(breaker: CircuitBreaker) -> bool:
    try:
        return breaker.call(work) == "done"
    except CircuitBreakerError:
        return False


def test_an_open_view_ends_with_the_opening(redis: Redis) -> None:
    """A long staleness does not make an opening any longer: when it is over, the next call asks."""
    breaker = stale_breaker(redis, timeout=0.1, failure_threshold=1)
    fail(breaker)
    wait_until(lambda: _passes(breaker), "a probe is let through", 5)
    assert CircuitInRedis(redis).number("open_to_half_open") == 1


def test_a_call_that_runs_across_a_transition_decides_nothing(redis: Redis) -> None:
    """A call let through before an opening and ended after the closing is tallied as a late result."""
    breaker, other = stale_breaker(redis), new_breaker(redis)
    hold(breaker, 0)
    success, failure = HeldCall(breaker), HeldCall(breaker)
    other.force_open("maintenance")
    other.force_close("done")
    fail(other, 2)
    success.end()
    failure.end(ServiceDownError())
    circuit = CircuitInRedis(redis)
    wait_until(lambda: circuit.number("late_results") == 2, "both are tallied as late")
    assert circuit.numbers("failure_count", "successful_calls", "failed_calls") == {
        "failure_count": 2,
        "successful_calls": 2,
        "failed_calls": 3,
    }
    assert circuit.field("state") == "closed"


def test_a_call_that_ends_on_a_view_of_the_past_is_told_soon(redis: Redis) -> None:
    """A call that ends after this process has seen the transition is told without anybody coming by."""
    breaker, other = stale_breaker(redis), new_breaker(redis)
    hold(breaker, 0)
    held = HeldCall(breaker)
    other.force_open("maintenance")
    breaker._store.doubt_view()
    be_rejected(breaker)
    held.end()
    circuit = CircuitInRedis(redis)
    wait_until(lambda: circuit.number("late_results") == 1, "it is tallied as late")
    assert circuit.number("successful_calls") == 2
