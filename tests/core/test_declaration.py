"""Declarations: creating a breaker does no I/O, its first call declares, and the last one is in force."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
from redis import Redis

from circuit_in_redis import (
    LEASE_MS,
    OPEN_MS,
    PROBE_MS,
    CircuitInRedis,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    trip,
    trip_and_wait,
)
from sharedbreaker import Outcome, circuit_breaker

SETTINGS = {
    "failure_threshold": "3",
    "success_threshold": "2",
    "half_open_max_calls": "2",
    "open_timeout_ms": str(OPEN_MS),
    "probe_timeout_ms": str(PROBE_MS),
    "lease_timeout_ms": str(LEASE_MS),
    "idle_ttl_ms": "0",
}


def settings_in_force(circuit: CircuitInRedis) -> dict[str, str]:
    return {name: value for name, value in circuit.fields().items() if name in SETTINGS}


def declared(circuit: CircuitInRedis) -> list[dict[str, str]]:
    return [event for event in circuit.events() if "settings" in event]


def test_creating_a_breaker_connects_nowhere() -> None:
    """Neither creating a breaker nor decorating with it opens a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        breaker = new_breaker(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")

        circuit_breaker(breaker)(int)
        repr(breaker)

        with pytest.raises(BlockingIOError):
            listener.accept()


def test_creating_a_breaker_writes_nothing(redis: Redis) -> None:
    """Creating a breaker leaves an empty Redis empty."""
    new_breaker(redis)

    assert redis.dbsize() == 0


@pytest.mark.parametrize("state", ["closed", "open", "half_open"])
def test_creating_a_breaker_changes_nothing_of_a_living_circuit(redis: Redis, state: str) -> None:
    """Whatever settings a new breaker has, creating it leaves every key as it is."""
    breaker = new_breaker(redis)
    fail(breaker, 2)
    if state != "closed":
        fail(breaker)
    if state == "half_open":
        CircuitInRedis(redis).elapse(OPEN_MS)
        breaker.admit()
    before = {key: redis.dump(key) for key in redis.scan_iter()}

    for threshold in range(1, 11):
        new_breaker(redis, failure_threshold=threshold, timeout=threshold)

    assert {key: redis.dump(key) for key in redis.scan_iter()} == before


def test_first_call_declares(redis: Redis) -> None:
    """The first call writes the settings in force, an event that says so, and the name in the registry."""
    succeed(new_breaker(redis))

    circuit = CircuitInRedis(redis)
    assert settings_in_force(circuit) == SETTINGS
    assert len(declared(circuit)) == 1
    assert redis.smembers(circuit.registry_key) == {"orders"}


def test_looking_declares_nothing(redis: Redis) -> None:
    """Reading a circuit that nobody called shows this breaker's settings and writes nothing."""
    metrics = new_breaker(redis, failure_threshold=7).get_metrics()

    assert (metrics["failure_threshold"], metrics["state"], metrics["total_calls"]) == (7, "closed", 0)
    assert redis.dbsize() == 0


def test_first_calls_of_many_threads_declare_once(redis: Redis) -> None:
    """Threads that all make the first call of one breaker run, with one declaration in the events."""
    breaker = new_breaker(redis)
    at_once = threading.Barrier(16)

    def first_call() -> None:
        at_once.wait(20)
        succeed(breaker)

    threads = [threading.Thread(target=first_call) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    circuit = CircuitInRedis(redis)
    assert circuit.number("successful_calls") == 16
    assert len(circuit.events()) == 1


def test_same_declaration_is_no_event(redis: Redis) -> None:
    """Further breakers with the same settings change nothing and write no event."""
    succeed(new_breaker(redis))
    circuit = CircuitInRedis(redis)
    events = circuit.events()

    for _ in range(5):
        succeed(new_breaker(redis))

    assert circuit.events() == events


@pytest.mark.parametrize(
    ("setting", "value", "field", "stored"),
    [
        ("failure_threshold", 9, "failure_threshold", "9"),
        ("success_threshold", 4, "success_threshold", "4"),
        ("half_open_max_calls", 7, "half_open_max_calls", "7"),
        ("timeout", 0.25, "open_timeout_ms", "250"),
        ("timeout", 1.0005, "open_timeout_ms", "1000"),
        ("probe_timeout", 1.5, "probe_timeout_ms", "1500"),
        ("lease_timeout", 90, "lease_timeout_ms", "90000"),
        ("idle_ttl", 3600, "idle_ttl_ms", "3600000"),
    ],
)
def test_differing_declaration_replaces_what_is_in_force(
    redis: Redis, setting: str, value: Any, field: str, stored: str
) -> None:
    """A declaration that differs in any setting is in force from then on, and is one event."""
    succeed(new_breaker(redis))
    circuit = CircuitInRedis(redis)
    events = len(circuit.events())

    succeed(new_breaker(redis, **{setting: value}))

    assert abs(int(settings_in_force(circuit)[field]) - int(stored)) <= 1
    assert len(circuit.events()) == events + 1
    assert field in declared(circuit)[-1]["settings"]


@pytest.mark.parametrize("state", ["closed", "open", "half_open", "held_open", "disabled"])
def test_declaring_never_touches_state_or_counts(redis: Redis, state: str) -> None:
    """A differing declaration leaves state, mode, counts, moments, epoch and transitions as they are."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)
    fail(breaker, 2)
    if state in {"open", "half_open"}:
        fail(breaker)
    if state == "half_open":
        circuit.elapse(OPEN_MS)
        breaker.report(breaker.admit(), Outcome.IGNORED)
    if state == "held_open":
        breaker.force_open()
    if state == "disabled":
        breaker.disable()
    before = {**circuit.state_and_counts(), **circuit.transitions(), **circuit.tallies()}

    other = new_breaker(redis, failure_threshold=1, success_threshold=1)
    if state in {"open", "held_open"}:
        be_rejected(other)
        before["rejected_calls"] = 1
    else:
        other.admit()

    assert circuit.field("failure_threshold") == "1"
    assert {**circuit.state_and_counts(), **circuit.transitions(), **circuit.tallies()} == before


def test_process_declares_only_at_its_first_call(redis: Redis) -> None:
    """In the middle of a rolling deploy the old pods' calls do not bring their settings back."""
    old, new = new_breaker(redis, failure_threshold=5), new_breaker(redis, failure_threshold=2)
    succeed(old)
    succeed(new)
    circuit = CircuitInRedis(redis)
    events = len(circuit.events())

    succeed(old)
    fail(old, 2)

    assert circuit.field("failure_threshold") == "2"
    assert circuit.field("state") == "open"
    assert len(circuit.events()) == events + 1


def test_every_worker_obeys_the_settings_in_force(redis: Redis) -> None:
    """A breaker that was created with other settings reports those in force, and decides by them."""
    old, new = new_breaker(redis, failure_threshold=5), new_breaker(redis, failure_threshold=2)
    succeed(old)
    succeed(new)

    assert old.get_metrics()["failure_threshold"] == 2


def test_lowered_threshold_counts_at_the_next_failure(redis: Redis) -> None:
    """A threshold now below the failures counted opens the circuit at the next failure, not before."""
    fail(new_breaker(redis, failure_threshold=5), 3)
    lower = new_breaker(redis, failure_threshold=2)

    admission = lower.admit()
    assert lower.get_state()["state"] == "closed"
    lower.report(admission, Outcome.FAILURE)

    assert lower.get_state()["state"] == "open"


def test_open_period_is_decided_at_the_trip(redis: Redis) -> None:
    """A new timeout does not move the end of an open period that is running."""
    breaker = new_breaker(redis)
    circuit = trip(breaker, redis)
    until = circuit.field("open_until")

    be_rejected(new_breaker(redis, timeout=3600))

    assert circuit.field("open_until") == until


def test_lowered_success_threshold_closes_at_the_next_success(redis: Redis) -> None:
    """A success_threshold that is now reached closes the circuit at the next success of a probe."""
    breaker = new_breaker(redis, success_threshold=5)
    circuit = trip_and_wait(breaker, redis)
    succeed(breaker, 3)

    succeed(new_breaker(redis, success_threshold=2))

    assert circuit.field("state") == "closed"


def test_manual_act_is_the_first_thing_that_may_happen(redis: Redis) -> None:
    """force_open on a circuit that nobody has called declares it and holds it."""
    breaker = new_breaker(redis)

    breaker.force_open()

    circuit = CircuitInRedis(redis)
    assert settings_in_force(circuit) == SETTINGS
    assert redis.smembers(circuit.registry_key) == {"orders"}
    be_rejected(new_breaker(redis))


def test_prefix_names_the_keys(redis: Redis) -> None:
    """With a prefix of one's own all keys begin with it, and circuits of other prefixes are others."""
    ours, theirs = new_breaker(redis, prefix="shop:1"), new_breaker(redis)
    ours.force_open()

    succeed(theirs)
    be_rejected(ours)

    keys = {key for key in redis.scan_iter() if key.startswith("shop:1")}
    assert keys == {"shop:1:{orders}", "shop:1:{orders}:events", "shop:1:breakers"}


def test_all_names_are_in_the_registry(redis: Redis) -> None:
    """The set of names holds each circuit that was called, once."""
    for name in ("a", "b", "c/d.e:f_g-h", "a"):
        succeed(new_breaker(redis, name=name))

    assert redis.smembers("sharedbreaker:breakers") == {"a", "b", "c/d.e:f_g-h"}
