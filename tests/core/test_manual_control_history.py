"""Manual control: who did what, and why, in the hash and in the events."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from circuit_in_redis import CircuitInRedis, new_breaker, succeed, trip_and_wait
from sharedbreaker import CircuitBreaker

ACTS: list[Callable[..., None]] = [
    CircuitBreaker.force_open,
    CircuitBreaker.force_close,
    CircuitBreaker.disable,
    CircuitBreaker.enable,
]
TRICKY = 'Über "maintenance" {x} 100 %\n\t\\ $1 日本語 %s'


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_event_tells_reason_and_who(redis: Redis, act: Callable[..., None]) -> None:
    """Each act's event has the reason and who asked."""
    breaker = new_breaker(redis)

    act(breaker, "planned maintenance", who="alice")

    event = CircuitInRedis(redis).events()[-1]
    assert (event["why"], event["reason"], event["who"]) == (act.__name__, "planned maintenance", "alice")


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_act_without_reason_is_still_an_event(redis: Redis, act: Callable[..., None]) -> None:
    """Without a reason the event is written, with this process as who asked."""
    breaker = new_breaker(redis)

    act(breaker)

    event = CircuitInRedis(redis).events()[-1]
    assert event["why"] == act.__name__
    assert event["who"].endswith(f":{os.getpid()}")


def test_hash_tells_who_holds_it_and_why(redis: Redis) -> None:
    """While it is held, the hash and the metrics say by whom and for what reason."""
    breaker = new_breaker(redis)

    breaker.force_open("maintenance", who="alice")

    fields = CircuitInRedis(redis).fields()
    assert (fields["held_by"], fields["held_reason"]) == ("alice", "maintenance")
    metrics = breaker.get_metrics()
    assert (metrics["held_by"], metrics["held_reason"]) == ("alice", "maintenance")


@pytest.mark.parametrize("hold", [CircuitBreaker.force_open, CircuitBreaker.disable])
def test_hash_forgets_the_holder_when_it_is_let_go(redis: Redis, hold: Callable[..., None]) -> None:
    """After the hold nobody is named as its holder any more."""
    breaker = new_breaker(redis)
    hold(breaker, "maintenance", who="alice")

    breaker.enable() if hold is CircuitBreaker.disable else breaker.force_close()

    metrics = breaker.get_metrics()
    assert (metrics["held_by"], metrics["held_reason"]) == (None, None)


def test_hash_forgets_the_holder_when_the_seconds_are_over(redis: Redis) -> None:
    """After a hold of some seconds has ended by itself nobody is named as its holder."""
    breaker = new_breaker(redis)
    breaker.force_open("maintenance", seconds=5, who="alice")
    CircuitInRedis(redis).elapse(5_000)

    succeed(breaker)

    metrics = breaker.get_metrics()
    assert (metrics["mode"], metrics["held_by"], metrics["held_reason"]) == ("automatic", None, None)


def test_any_text_is_kept_as_it_was_written(redis: Redis) -> None:
    """A reason with quotes, braces, newlines and letters of any language is kept to the letter."""
    breaker = new_breaker(redis)

    breaker.force_open(TRICKY, who="Zoë")

    assert CircuitInRedis(redis).events()[-1]["reason"] == TRICKY
    assert breaker.get_metrics()["held_reason"] == TRICKY
    assert breaker.get_metrics()["held_by"] == "Zoë"


@pytest.mark.parametrize("nonsense", ["x" * 100_000, 5, b"bytes"], ids=["endless", "number", "bytes"])
def test_reason_that_is_no_short_text_is_refused(redis: Redis, nonsense: Any) -> None:
    """A reason that is no text, or without any measure, is a ValueError and changes nothing."""
    breaker = new_breaker(redis)

    with pytest.raises(ValueError, match="reason"):
        breaker.force_open(nonsense)

    succeed(breaker)


def test_events_tell_a_recovery_from_beginning_to_end(redis: Redis) -> None:
    """The stream's from and to join into one path through the states."""
    breaker = new_breaker(redis)
    trip_and_wait(breaker, redis)
    succeed(breaker, 2)
    breaker.force_open()
    breaker.disable()
    breaker.enable()

    events = CircuitInRedis(redis).events()

    assert [event["from"] for event in events[1:]] == [event["to"] for event in events[:-1]]
    assert CircuitInRedis(redis).moves() == [
        "closed_to_open",
        "open_to_half_open",
        "half_open_to_closed",
        "closed_to_open",
        "open_to_closed",
    ]


def test_transition_event_says_who_made_it(redis: Redis) -> None:
    """A transition that a call made names the process and the reason."""
    trip_and_wait(new_breaker(redis), redis)

    event = CircuitInRedis(redis).events()[-1]

    assert event["who"].endswith(f":{os.getpid()}")
    assert event["why"]


def test_last_state_change_is_the_moment_of_the_last_transition(redis: Redis) -> None:
    """last_state_change moves with every change of state and with no act that changes none."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)
    breaker.force_open()
    changed = circuit.field("last_state_change")

    breaker.force_open()
    assert circuit.field("last_state_change") == changed
    circuit.set(last_state_change=1)
    breaker.force_close()

    assert circuit.number("last_state_change") > 1
