"""tune: other settings for the whole fleet at once, over whatever is declared, until they are cleared."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis
from verbs import CommandLine, breaker_at, fail
from verbs import command as command

from sharedbreaker import CircuitBreaker, Operator, SettingsError


@pytest.fixture
def orders(command: CommandLine) -> CircuitBreaker:
    return breaker_at(command.url, "orders", failure_threshold=3, timeout=60)


def deployed(command: CommandLine, **settings: Any) -> CircuitBreaker:
    """A new process' breaker, which declares its settings at its first call."""
    return breaker_at(command.url, "orders", **settings)


def test_every_process_obeys_at_once(command: CommandLine, orders: CircuitBreaker) -> None:
    """A process that is running opens at the tuned threshold, without having heard of it."""
    command("tune", "orders", "failure_threshold=5")

    fail(orders, 4)
    assert orders.get_state()["state"] == "closed"
    fail(orders)
    assert orders.get_state()["state"] == "open"


def test_tuned_settings_survive_a_rolling_deploy(command: CommandLine, orders: CircuitBreaker) -> None:
    """Old and new processes declare in turn, and what is tuned stays; the rest is as declared last."""
    command("tune", "orders", "failure_threshold=10")

    for _ in range(2):
        deployed(command, failure_threshold=4, timeout=30)
        deployed(command, failure_threshold=3, timeout=60)
    deployed(command, failure_threshold=4, timeout=30)

    shown = command("show", "orders", "--json").json
    assert shown["settings"]["failure_threshold"] == 10
    assert shown["settings"]["open_timeout_ms"] == 30_000
    assert shown["tuned_settings"] == {"failure_threshold": {"in_force": "10", "declared": "4"}}


def test_cleared_settings_are_as_declared_last(command: CommandLine, orders: CircuitBreaker) -> None:
    """--clear puts one back, --clear-all the rest, to what was declared meanwhile."""
    command("tune", "orders", "failure_threshold=10", "timeout=2m", "success_threshold=4")
    deployed(command, failure_threshold=6, timeout=30)

    one = command("tune", "orders", "--clear", "timeout", "--json").json
    assert one["settings"]["open_timeout_ms"] == 30_000
    assert set(one["tuned_settings"]) == {"failure_threshold", "success_threshold"}

    ran = command("tune", "orders", "--clear-all")
    assert ran.out == "orders: every setting is as declared\n"
    shown = command("show", "orders", "--json").json
    assert (shown["settings"]["failure_threshold"], shown["tuned_by"]) == (6, None)


def test_tuning_is_shown_wherever_the_configuration_is(command: CommandLine, orders: CircuitBreaker) -> None:
    """The table of tune, show, get_metrics and the exposition all mark what is tuned."""
    ran = command("tune", "orders", "failure_threshold=10", "--reason", "a noisy week", "--who", "ann")

    assert ran.out.splitlines()[1].split() == ["failure_threshold", "10", "3"]
    assert command("tune", "orders").out == ran.out
    shown = command("show", "orders").out
    assert "10  tuned; declared: 3" in shown
    assert "ann: a noisy week" in shown
    assert orders.get_metrics()["tuned_settings"] == {
        "failure_threshold": {"in_force": "10", "declared": "3"}
    }
    assert 'tuned="failure_threshold"' in orders.export_prometheus_metrics()


def test_tuning_is_in_the_events_with_who_and_why(command: CommandLine, orders: CircuitBreaker) -> None:
    """Tuning and clearing are one event each; tuning to what is tuned already is none."""
    for _ in range(2):
        command("tune", "orders", "timeout=2m", "--reason", "slow", "--who", "ann")
    command("tune", "orders", "--clear", "timeout", "--who", "bob")
    command("tune", "orders", "--clear", "timeout", "--who", "bob")

    events = [event for event in command("history", "orders", "--json").json if event["why"] == "tune"]

    assert [(event["who"], event["reason"]) for event in events] == [("ann", "slow"), ("bob", None)]
    assert events[0]["details"] == {"settings": "open_timeout_ms=120000"}
    assert events[1]["details"] == {"settings": "open_timeout_ms=60000", "cleared": "open_timeout_ms"}


@pytest.mark.parametrize(
    "words",
    [
        ("failure_threshold=0",),
        ("failure_threshold=1.5",),
        ("failure_threshold=many",),
        ("failure_threshold",),
        ("timeout=0",),
        ("timeout=2y",),
        ("half_open_max_calls=1001",),
        ("idle_ttl=1",),
        ("push=1",),
        ("state=1",),
        ("timeout=5", "--clear", "timeout"),
        ("timeout=5", "--clear-all"),
        ("--clear", "state"),
    ],
)
def test_setting_that_makes_no_sense_changes_nothing(
    command: CommandLine, orders: CircuitBreaker, redis: Redis, words: tuple[str, ...]
) -> None:
    """What a breaker would refuse, and what cannot be tuned, is 2 and leaves every byte as it is."""
    before = redis.hgetall("sharedbreaker:{orders}")

    assert command("tune", "orders", *words).exit_code == 2
    assert redis.hgetall("sharedbreaker:{orders}") == before


def test_lease_longer_than_idle_ttl_is_refused(command: CommandLine) -> None:
    """A tuned value is checked beside what else is in force, as a declared one is."""
    breaker_at(command.url, "orders", idle_ttl=1000)

    ran = command("tune", "orders", "lease_timeout=2000")

    assert ran.exit_code == 2
    assert "idle_ttl must not be shorter" in ran.err


def test_tuned_value_that_somebody_broke_ends_its_tuning(
    command: CommandLine, orders: CircuitBreaker, redis: Redis
) -> None:
    """A typo in a tuned field breaks no call: the declared value takes its place, and nothing is tuned."""
    command("tune", "orders", "failure_threshold=10")
    redis.hset("sharedbreaker:{orders}", "failure_threshold", "banana")

    deployed(command, failure_threshold=3)
    fail(orders, 3)

    assert orders.get_state()["state"] == "open"
    assert orders.get_metrics()["tuned_settings"] == {}


def test_tuning_and_clearing_from_code(command: CommandLine, orders: CircuitBreaker) -> None:
    """Operator.tune tells whether anything changed, and refuses what makes no sense."""
    operator = Operator("orders", redis=command.url)

    assert operator.tune({"timeout": 5})
    assert not operator.tune({"timeout": 5})
    assert operator.tune(clear=["timeout"])
    assert not operator.tune(clear=["timeout"])
    for wrong in ({}, {"name": 5}, {"timeout": -1}):
        with pytest.raises(SettingsError):
            operator.tune(wrong)
