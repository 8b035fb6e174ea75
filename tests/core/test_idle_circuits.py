"""Idle circuits: forgotten only where idle_ttl says so, only when closed and under nobody's hand."""

from __future__ import annotations

import time
from typing import Any

import pytest
from redis import Redis

from circuit_in_redis import (
    LEASE_MS,
    OPEN_MS,
    CircuitInRedis,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    trip,
    trip_and_wait,
)
from sharedbreaker import FailureRate, Outcome, SlowCallRate

IDLE_SECONDS = 3600
FOREVER = -1


def time_to_live(circuit: CircuitInRedis) -> int:
    """Milliseconds until the circuit's first key expires; -1 when none does."""
    keys = [key for key in circuit.redis.scan_iter() if key.startswith(circuit.key)]
    return min((int(circuit.redis.pttl(key)) for key in keys), key=lambda left: (left < 0, left))


@pytest.mark.parametrize("state", ["closed", "open", "half_open", "held_open", "disabled"])
def test_nothing_expires_by_default(redis: Redis, state: str) -> None:
    """Without idle_ttl no key of a circuit has an expiry, in any state."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)
    succeed(breaker)
    if state in {"open", "half_open"}:
        trip_and_wait(breaker, redis)
    if state == "half_open":
        breaker.admit()
    if state == "held_open":
        breaker.force_open()
    if state == "disabled":
        breaker.disable()

    assert time_to_live(circuit) == FOREVER


def test_closed_circuit_is_forgotten_after_idle_ttl(redis: Redis) -> None:
    """A closed circuit that nobody calls expires, all of it, idle_ttl after its last use."""
    breaker = new_breaker(redis, idle_ttl=IDLE_SECONDS)

    succeed(breaker)

    for key in (CircuitInRedis(redis).key, CircuitInRedis(redis).events_key):
        assert IDLE_SECONDS * 900 < int(redis.pttl(key)) <= IDLE_SECONDS * 1000


def test_every_use_starts_the_idle_time_anew(redis: Redis) -> None:
    """Each call of a closed circuit puts its expiry off by a whole idle_ttl."""
    breaker = new_breaker(redis, idle_ttl=IDLE_SECONDS)
    succeed(breaker)
    circuit = CircuitInRedis(redis)
    redis.pexpire(circuit.key, 5_000)

    fail(breaker)

    assert time_to_live(circuit) > IDLE_SECONDS * 900


@pytest.mark.parametrize(
    "rules",
    [{"max_in_flight": 9}, {"failure_rate": FailureRate(0.5)}, {"slow_call_rate": SlowCallRate(0.5, 1)}],
    ids=lambda rules: next(iter(rules)),
)
def test_every_half_of_a_call_under_other_rules_does_so_too(redis: Redis, rules: dict[str, Any]) -> None:
    """An admission puts the expiry off, and so does its report."""
    breaker = new_breaker(redis, idle_ttl=IDLE_SECONDS, **rules)
    succeed(breaker)
    circuit = CircuitInRedis(redis)

    redis.pexpire(circuit.key, 5_000)
    admission = breaker.admit()
    assert time_to_live(circuit) > IDLE_SECONDS * 900
    redis.pexpire(circuit.key, 5_000)
    breaker.report(admission, Outcome.SUCCESS)

    assert time_to_live(circuit) > IDLE_SECONDS * 900


def test_idle_circuit_really_goes(redis: Redis) -> None:
    """After idle_ttl of a few milliseconds no key of the circuit is left, and the next call begins anew."""
    breaker = new_breaker(redis, idle_ttl=0.03, lease_timeout=0.03, probe_timeout=0.03)
    circuit = CircuitInRedis(redis)
    fail(breaker)

    deadline = time.monotonic() + 10
    while redis.exists(circuit.key, circuit.leases_key, circuit.events_key):
        assert time.monotonic() < deadline
        time.sleep(0.005)

    assert breaker.get_state()["failure_count"] == 0
    succeed(breaker)


def test_open_circuit_never_expires(redis: Redis) -> None:
    """Opening takes the expiry away, and rejections do not bring it back."""
    breaker = new_breaker(redis, idle_ttl=IDLE_SECONDS)
    circuit = trip(breaker, redis)
    be_rejected(breaker)

    assert time_to_live(circuit) == FOREVER


def test_half_open_circuit_never_expires(redis: Redis) -> None:
    """A circuit in half-open has no expiry, with and without probes under way."""
    breaker = new_breaker(redis, idle_ttl=IDLE_SECONDS)
    circuit = trip_and_wait(breaker, redis)

    probe = breaker.admit()
    assert time_to_live(circuit) == FOREVER
    breaker.report(probe, Outcome.SUCCESS)
    assert time_to_live(circuit) == FOREVER


def test_recovered_circuit_may_expire_again(redis: Redis) -> None:
    """Closing gives the expiry back."""
    breaker = new_breaker(redis, idle_ttl=IDLE_SECONDS)
    circuit = trip_and_wait(breaker, redis)

    succeed(breaker, 2)

    assert 0 < int(redis.pttl(circuit.key)) <= IDLE_SECONDS * 1000


@pytest.mark.parametrize("act", ["force_open", "disable"])
def test_held_circuit_never_expires(redis: Redis, act: str) -> None:
    """A circuit under somebody's hand has no expiry, whoever calls it."""
    breaker = new_breaker(redis, idle_ttl=IDLE_SECONDS)
    succeed(breaker)
    circuit = CircuitInRedis(redis)

    getattr(breaker, act)()
    assert time_to_live(circuit) == FOREVER
    be_rejected(breaker) if act == "force_open" else succeed(breaker)

    assert time_to_live(circuit) == FOREVER


@pytest.mark.parametrize(("hold", "let_go"), [("force_open", "force_close"), ("disable", "enable")])
def test_circuit_that_was_let_go_may_expire_again(redis: Redis, hold: str, let_go: str) -> None:
    """After the hold the circuit expires idle_ttl after its last use, as any closed one."""
    breaker = new_breaker(redis, idle_ttl=IDLE_SECONDS)
    getattr(breaker, hold)()
    getattr(breaker, let_go)()

    succeed(breaker)

    assert time_to_live(CircuitInRedis(redis)) > 0


def test_circuit_outlives_its_own_calls(redis: Redis) -> None:
    """A circuit with a call under way lives at least as long as the call's lease."""
    breaker = new_breaker(redis, idle_ttl=LEASE_MS / 1000)
    succeed(breaker)
    circuit = CircuitInRedis(redis)
    redis.pexpire(circuit.key, 5_000)
    redis.pexpire(circuit.events_key, 5_000)

    admission = breaker.admit()

    lease_ends = circuit.leases()[admission.token]
    # What is left is asked for first: time that passes between the two makes nothing look shorter.
    left_ms = time_to_live(circuit)
    assert left_ms + circuit.now_ms() >= lease_ends - 1


def test_dropping_idle_ttl_takes_the_expiry_away(redis: Redis) -> None:
    """When a later declaration has no idle_ttl, the circuit does not expire any more."""
    succeed(new_breaker(redis, idle_ttl=IDLE_SECONDS))

    succeed(new_breaker(redis))

    assert time_to_live(CircuitInRedis(redis)) == FOREVER


def test_open_period_may_be_longer_than_idle_ttl(redis: Redis) -> None:
    """A circuit that is open for longer than idle_ttl is there, and open, to the end."""
    breaker = new_breaker(redis, timeout=100_000, idle_ttl=LEASE_MS / 1000)
    circuit = trip(breaker, redis)

    assert time_to_live(circuit) == FOREVER
    circuit.elapse(OPEN_MS)
    be_rejected(breaker)
