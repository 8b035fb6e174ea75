"""Circuits in a state at will, wherever they are."""

from __future__ import annotations

from typing import Any

import pytest
from either_breaker import Breaker, MakeBreaker, call, metrics, refusal_of, state
from either_breaker import in_process as in_process
from either_breaker import in_redis as in_redis
from either_breaker import kind as kind
from either_breaker import make as make

from guarded_calls import BadRequestError, ServiceDownError
from sharedbreaker import CircuitBreakerError, FailureRate, LastCalls, SlowCallRate
from sharedbreaker.testing import always_passing, always_rejecting, held_open, let_through, trip

DOWN = ServiceDownError("503")


def test_held_open_rejects_within_the_block_only(make: MakeBreaker) -> None:
    """Calls are rejected as by a hand in the block, and pass after it."""
    breaker = make()
    with held_open(breaker) as same:
        assert same is breaker
        refusal = refusal_of(breaker)
    assert (refusal.why, refusal.retry_after) == ("held_open", None)
    assert call(breaker) == "done"


def test_held_open_says_when_to_come_back(make: MakeBreaker) -> None:
    """With `seconds`, the rejection has them as its retry_after."""
    breaker = make()
    with held_open(breaker, 300):
        retry_after = refusal_of(breaker).retry_after
    assert retry_after is not None
    assert 200 < retry_after <= 300


def test_held_open_ends_with_the_block_that_fails(make: MakeBreaker) -> None:
    """A failing test does not leave its circuit open for the next."""
    breaker = make()
    with pytest.raises(KeyError), held_open(breaker):
        raise KeyError
    assert call(breaker) == "done"


def test_let_through_never_opens(make: MakeBreaker) -> None:
    """However many calls fail in the block, none is rejected; after it they count again."""
    breaker = make()
    with let_through(breaker):
        assert [call(breaker, DOWN) for _ in range(5)] == ["failed"] * 5
        assert call(breaker) == "done"
    assert [call(breaker, DOWN) for _ in range(3)] == ["failed"] * 3
    assert call(breaker) == "open"


def test_let_through_ends_with_the_block_that_fails(make: MakeBreaker) -> None:
    """A failing test does not leave its circuit disabled for the next."""
    breaker = make()
    with pytest.raises(KeyError), let_through(breaker):
        raise KeyError
    assert metrics(breaker)["mode"] == "automatic"


def test_trip_opens_as_failures_do(make: MakeBreaker) -> None:
    """The circuit is open by itself, with its failures tallied under their name."""
    breaker = make()
    trip(breaker, DOWN)
    seen = metrics(breaker)
    assert (seen["state"], seen["mode"], seen["failed_calls"]) == ("open", "automatic", 3)
    assert seen["last_failure_type"] == "ServiceDownError"
    assert seen["state_transitions"]["closed_to_open"] == 1
    assert call(breaker) == "open"


def test_trip_needs_no_error(make: MakeBreaker) -> None:
    """Without an error the failures have no name."""
    breaker = make()
    trip(breaker)
    seen = metrics(breaker)
    assert (seen["state"], seen["last_failure_type"]) == ("open", None)


def test_trip_asks_when_the_service_wants_to_be_called_again(make: MakeBreaker) -> None:
    """An error that names a time opens for so long."""
    breaker = make(timeout=100, retry_after_of=lambda _error: 200.0)
    trip(breaker, DOWN)
    retry_after = refusal_of(breaker).retry_after
    assert retry_after is not None
    assert 100 < retry_after <= 200


def test_trip_refuses_what_is_no_failure(make: MakeBreaker) -> None:
    """An error that the breaker ignores cannot open it, and nothing is counted."""
    breaker = make()
    with pytest.raises(ValueError, match="'orders': BadRequestError does not count as a failure"):
        trip(breaker, BadRequestError("400"))
    assert metrics(breaker)["total_calls"] == 0


@pytest.mark.parametrize(
    "rules",
    [
        {"failure_threshold": None, "failure_rate": FailureRate()},
        {"failure_threshold": None, "failure_rate": FailureRate(window=LastCalls(30))},
        {"failure_threshold": None, "slow_call_rate": SlowCallRate(5)},
        {"failure_threshold": 20, "max_staleness": 600},
    ],
    ids=["rate", "last_calls", "slow", "stale"],
)
def test_trip_goes_by_the_rules_that_there_are(make: MakeBreaker, rules: dict[str, Any]) -> None:
    """However many calls succeeded before, and whatever opens this circuit, it opens."""
    breaker = make(**rules)
    for _ in range(10):
        assert call(breaker) == "done"
    trip(breaker, DOWN)
    assert call(breaker) == "open"


def test_trip_says_where_it_cannot(make: MakeBreaker) -> None:
    """A circuit that is disabled or asks for several processes does not open; one that is open rejects."""
    breaker = make()
    with let_through(breaker), pytest.raises(ValueError, match="'orders' is disabled"):
        trip(breaker)
    with pytest.raises(ValueError, match="'orders': 1000 failures of one process did not open it"):
        trip(make(name="orders", minimum_reporters=2))
    breaker = make()
    call(breaker)
    trip(breaker)
    with pytest.raises(CircuitBreakerError):
        trip(breaker)


def test_always_rejecting(kind: type[Breaker]) -> None:
    """A breaker that needs no Redis rejects every call."""
    breaker = always_rejecting(kind(name="orders", redis="redis://nowhere.invalid"))
    assert [call(breaker) for _ in range(3)] == ["held_open"] * 3


def test_always_passing(kind: type[Breaker]) -> None:
    """A breaker that needs no Redis lets every call run, and tallies them."""
    breaker = always_passing(kind(name="orders", failure_threshold=1, redis="redis://nowhere.invalid"))
    assert [call(breaker, DOWN) for _ in range(3)] == ["failed"] * 3
    assert call(breaker) == "done"
    assert (state(breaker), metrics(breaker)["failed_calls"]) == ("closed", 3)
