"""Who moved the state tells of it: once for the whole fleet, in the log and to whoever listens."""

from __future__ import annotations

import logging

import pytest
from redis import Redis

from circuit_in_redis import CircuitInRedis, fail, new_breaker, succeed, trip_and_wait
from sharedbreaker import CircuitState, StoreError, TransitionNotice


def test_each_transition_is_told_once_by_whoever_caused_it(redis: Redis) -> None:
    """Two that listen hear of each transition once between them, with what opened it."""
    first, second = new_breaker(redis, success_threshold=1), new_breaker(redis, success_threshold=1)
    told: list[tuple[str, TransitionNotice]] = []
    first.on_transition(lambda notice: told.append(("first", notice)))
    second.on_transition(lambda notice: told.append(("second", notice)))

    fail(first, 2)
    fail(second)
    CircuitInRedis(redis).end_open_period()
    succeed(first)

    assert [(who, notice.transition, notice.exception) for who, notice in told] == [
        ("second", "closed_to_open", "ServiceDownError"),
        ("first", "open_to_half_open", ""),
        ("first", "half_open_to_closed", ""),
    ]
    assert told[0][1].after is CircuitState.OPEN


@pytest.mark.parametrize("max_staleness", [0, 60], ids=["strict", "on a view"])
def test_manual_acts_are_told_where_they_change_the_state(redis: Redis, max_staleness: float) -> None:
    """Holding open tells of it; holding what is open already does not."""
    breaker = new_breaker(redis, max_staleness=max_staleness)
    told: list[str] = []
    breaker.on_transition(lambda notice: told.append(notice.transition))

    breaker.force_open("maintenance")
    breaker.force_open("maintenance goes on")
    breaker.force_close()

    assert told == ["closed_to_open", "open_to_closed"]


def test_a_failure_on_a_view_tells_of_the_opening(redis: Redis) -> None:
    """A failure that was decided on a view opens the circuit, and its process tells of it."""
    breaker = new_breaker(redis, max_staleness=60)
    told: list[str] = []
    breaker.on_transition(lambda notice: told.append(notice.transition))
    succeed(breaker)

    fail(breaker, 3)

    assert told == ["closed_to_open"]


def test_a_listener_that_fails_changes_nothing(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """The call ends as it would, the others are told, and the log has the listener's error."""
    breaker = new_breaker(redis)
    told: list[str] = []

    def broken(notice: TransitionNotice) -> None:
        raise RuntimeError("not my day")

    breaker.on_transition(broken)
    breaker.on_transition(lambda notice: told.append(notice.transition))

    fail(breaker, 3)

    assert told == ["closed_to_open"]
    assert "not my day" in caplog.text
    assert CircuitInRedis(redis).field("state") == "open"


def test_a_listener_may_leave(redis: Redis) -> None:
    """After it has ended a listener hears of nothing, and others still do."""
    breaker = new_breaker(redis)
    left: list[str] = []
    stayed: list[str] = []
    end = breaker.on_transition(lambda notice: left.append(notice.transition))
    breaker.on_transition(lambda notice: stayed.append(notice.transition))

    end()
    breaker.force_open()

    assert (left, stayed) == ([], ["closed_to_open"])


def test_what_a_process_decides_without_redis_is_not_told() -> None:
    """A circuit of one process alone says nothing about the fleet's."""
    breaker = new_breaker("redis://127.0.0.1:1")
    told: list[str] = []
    breaker.on_transition(lambda notice: told.append(notice.transition))

    fail(breaker, 3)
    with pytest.raises(StoreError):
        breaker.force_open()

    assert told == []


def test_the_log_has_one_line_for_each_transition(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """An opening is a warning, the rest is information, and fields say what for machines."""
    breaker = new_breaker(redis, success_threshold=1)
    with caplog.at_level(logging.INFO, "sharedbreaker"):
        trip_and_wait(breaker, redis)
        succeed(breaker)
    lines = [record for record in caplog.records if hasattr(record, "transition")]

    assert [(line.levelname, line.__dict__["transition"]) for line in lines] == [
        ("WARNING", "closed_to_open"),
        ("INFO", "open_to_half_open"),
        ("INFO", "half_open_to_closed"),
    ]
    assert {line.__dict__["circuit"] for line in lines} == {"orders"}
    assert lines[0].getMessage() == "circuit 'orders': closed to open after ServiceDownError"
