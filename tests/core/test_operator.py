"""An operator acts on the circuits of others, and leaves their configuration alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
from redis import Redis

from circuit_in_redis import NAME, fail, new_breaker, succeed
from sharedbreaker import (
    CircuitBreakerError,
    CircuitState,
    NoSuchCircuitError,
    Operator,
    SettingsError,
    StoreError,
)

ACTS: list[Callable[[Operator], object]] = [
    lambda operator: operator.force_open("maintenance"),
    lambda operator: operator.force_close(),
    lambda operator: operator.disable(),
    lambda operator: operator.enable(),
    lambda operator: operator.snapshot(),
    lambda operator: operator.history(),
]


def configuration(redis: Redis) -> dict[str, str]:
    fields = cast("dict[str, str]", redis.hgetall(f"sharedbreaker:{{{NAME}}}"))
    return {name: value for name, value in fields.items() if name.endswith(("_ms", "_threshold", "_calls"))}


def test_acts_reach_every_process_and_leave_the_configuration_in_force(redis: Redis) -> None:
    """An operator holds a circuit open and lets it go, and the settings of its owners stay as they were."""
    breaker = new_breaker(redis, failure_threshold=7)
    succeed(breaker)
    before = configuration(redis)
    operator = Operator(NAME, redis=redis)
    operator.force_open("maintenance", 30, who="ann")
    with pytest.raises(CircuitBreakerError):
        succeed(breaker)
    held = operator.snapshot()
    assert held.state is CircuitState.OPEN
    assert held.fields["held_by"] == "ann"
    assert held.fields["held_reason"] == "maintenance"
    operator.force_close("over", who="ann")
    succeed(breaker)
    operator.disable("no matter what")
    assert operator.snapshot().mode.value == "disabled"
    operator.enable()
    assert operator.snapshot().mode.value == "automatic"
    after = configuration(redis)
    assert after["failure_threshold"] == "7"
    unlike = {name for name in before if before[name] != after.get(name)}
    assert unlike <= {"successful_calls", "rejected_calls"}
    assert [event.why for event in operator.history()].count("declared") == 1


@pytest.mark.parametrize("act", ACTS)
def test_nothing_is_made_where_there_is_no_such_circuit(
    redis: Redis, act: Callable[[Operator], object]
) -> None:
    """Acting on or looking at a name that nobody uses says so, and leaves nothing in Redis."""
    with pytest.raises(NoSuchCircuitError, match=r"no circuit 'ordres'.*sharedbreaker:\{ordres\}"):
        act(Operator("ordres", redis=redis))
    assert redis.keys() == []


def test_a_transition_by_hand_is_told_once(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """Opening by hand is logged by the process that did it; doing it again, which moves nothing, is not."""
    succeed(new_breaker(redis))
    operator = Operator(NAME, redis=redis)
    with caplog.at_level("INFO", logger="sharedbreaker"):
        operator.force_open()
        operator.force_open()
    assert caplog.messages == ["circuit 'orders': closed to open"]


def test_history_is_newest_first_and_says_who_why_and_what_tripped_it(redis: Redis) -> None:
    """The history tells of declaration, opening by failures, and each manual act, the latest first."""
    breaker = new_breaker(redis, failure_threshold=1)
    fail(breaker)
    operator = Operator(NAME, redis=redis)
    operator.force_close("<b>it is fine</b>", who="Bö")
    closed, opened, declared = operator.history()
    assert (closed.why, closed.who, closed.reason) == ("force_close", "Bö", "<b>it is fine</b>")
    assert (opened.before, opened.after, opened.why) == ("closed", "open", "failure_threshold")
    assert opened.exception == "ServiceDownError"
    assert opened.is_transition
    assert declared.why == "declared"
    assert not declared.is_transition
    assert closed.at >= opened.at > 1_500_000_000
    assert "request" not in closed.details
    assert [event.id for event in operator.history(most=1)] == [closed.id]


@pytest.mark.parametrize("most", [0, -1, 1001, True, 2.0, "3"])
def test_history_of_a_senseless_length_is_refused(most: int) -> None:
    """How much history is asked for is checked before Redis is asked."""
    with pytest.raises(SettingsError, match="most must be"):
        Operator(NAME, redis="redis://localhost:1").history(most)


def test_an_event_stream_of_another_type_is_named(redis: Redis) -> None:
    """A foreign key in place of the events is an error that names it."""
    succeed(new_breaker(redis))
    redis.delete(f"sharedbreaker:{{{NAME}}}:events")
    redis.set(f"sharedbreaker:{{{NAME}}}:events", "mine")
    with pytest.raises(StoreError, match=r":events"):
        Operator(NAME, redis=redis).history()


@pytest.mark.parametrize("act", ACTS)
def test_without_redis_it_says_where_it_asked(act: Callable[[Operator], object]) -> None:
    """With Redis away, an act or a look raises StoreError, with the address and without the password."""
    operator = Operator(NAME, redis="redis://:hunter2@127.0.0.1:1/0", timeout=0.2)
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1") as caught:
        act(operator)
    assert "hunter2" not in str(caught.value)
