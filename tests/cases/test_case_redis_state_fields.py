"""Fields that no script wrote, and numbers that Lua would cut."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis
from stale_circuits import LONG, stale_breaker
from verbs import CommandLine
from verbs import command as command

from circuit_in_redis import (
    OPEN_MS,
    PROBE_MS,
    CircuitInRedis,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    trip,
    trip_and_wait,
    work,
)
from sharedbreaker import CircuitBreaker, CircuitBreakerError, CircuitState
from sharedbreaker.store.fleet import Fleet

TEN_YEARS_MS = 10 * 365 * 24 * 3600 * 1000
FAR_FUTURE = "far future"
BROKEN: dict[str, dict[str, str | None]] = {
    "open without moments": {"state": "open", "opened_at": None, "open_until": None},
    "open without its beginning": {"state": "open", "opened_at": None},
    "open without its end": {"state": "open", "open_until": None},
    "open with empty moments": {"state": "open", "opened_at": "", "open_until": ""},
    "open in the far future": {"state": "open", "opened_at": FAR_FUTURE, "open_until": FAR_FUTURE},
    "open until the far future": {"state": "open", "open_until": FAR_FUTURE},
    "open until no number": {"state": "open", "opened_at": "yesterday", "open_until": "tomorrow"},
    "open until infinity": {"state": "open", "open_until": "inf"},
    "open until below nought": {"state": "open", "opened_at": "-5", "open_until": "-1"},
    "half-open without probes": {"state": "half_open", "success_count": None},
    "half-open with no number": {"state": "half_open", "success_count": "abc"},
    "failures are no number": {"failure_count": "abc"},
    "failures are below nought": {"failure_count": "-7"},
    "empty state": {"state": ""},
    "unknown state": {"state": "banana"},
    "no state": {"state": None},
    "unknown mode": {"mode": "banana"},
    "no epoch": {"epoch": None},
    "epoch is no number": {"epoch": "abc"},
    "settings are gone": {"failure_threshold": None, "success_threshold": None, "open_timeout_ms": None},
    "settings are no numbers": {"failure_threshold": "", "success_threshold": "x", "open_timeout_ms": "1e9"},
}


def break_by_hand(circuit: CircuitInRedis, fields: dict[str, str | None]) -> None:
    for name, value in fields.items():
        if value is None:
            circuit.drop(name)
        else:
            circuit.set(**{name: circuit.now_ms() + TEN_YEARS_MS if value is FAR_FUTURE else value})


def passes(breaker: CircuitBreaker) -> bool:
    try:
        return breaker.call(work) == "done"
    except CircuitBreakerError as rejection:
        left = rejection.retry_after
    assert left is not None
    assert 0 <= left <= OPEN_MS / 1000
    return False


def looks(redis: Redis, breaker: CircuitBreaker, command: CommandLine) -> list[Any]:
    """What every way to look says of the state; none of them may fail."""
    status = command("status", "--json")
    assert status.exit_code in {0, 3, 4}, status
    told = status.json["circuits"][0]["state"]
    (seen,) = Fleet(redis).look().circuits
    assert "circuit_breaker_state{" in breaker.export_prometheus_metrics()
    return [breaker.get_state()["state"], breaker.get_metrics()["state"], seen.state.value, told]


@pytest.mark.parametrize("fields", BROKEN.values(), ids=list(BROKEN))
def test_sb032_no_broken_state_holds_longer_than_one_open_period(
    redis: Redis, command: CommandLine, fields: dict[str, str | None]
) -> None:
    """However the hash was edited, looks work, and calls come through one open period later at the latest."""
    breaker = new_breaker(redis)
    succeed(breaker)
    circuit = CircuitInRedis(redis)
    break_by_hand(circuit, fields)
    states = looks(redis, breaker, command)
    assert len(set(states)) == 1

    passes(breaker)
    circuit.elapse(OPEN_MS)
    succeed(breaker, 3)

    assert circuit.field("state") == "closed"
    assert looks(redis, breaker, command) == ["closed"] * 4
    fail(breaker, 3)
    assert be_rejected(breaker).state is CircuitState.OPEN


@pytest.mark.parametrize("fields", BROKEN.values(), ids=list(BROKEN))
def test_sb032_nor_in_a_fleet_that_acts_on_views(redis: Redis, fields: dict[str, str | None]) -> None:
    """The same where every process has a staleness, and none asks for each call.

    Failed at first: a view took `open_until` as it stood, so that an open circuit with a wrong moment in it
    stayed open until then, however far off that was.
    """
    succeed(new_breaker(redis))
    circuit = CircuitInRedis(redis)
    break_by_hand(circuit, fields)
    passes(stale_breaker(redis))
    circuit.elapse(OPEN_MS)

    breaker = stale_breaker(redis)
    succeed(breaker, 3)
    fail(breaker, 3)
    assert be_rejected(breaker).state is CircuitState.OPEN
    assert circuit.field("state") == "open"


@pytest.mark.parametrize("fields", BROKEN.values(), ids=list(BROKEN))
def test_sb032_closing_by_hand_always_works(redis: Redis, fields: dict[str, str | None]) -> None:
    """force_close() ends every broken state at once, and leaves a circuit that trips as any other."""
    breaker = new_breaker(redis)
    circuit = trip(breaker, redis)
    break_by_hand(circuit, fields)

    breaker.force_close("it was edited")

    succeed(breaker)
    fail(breaker, 3)
    assert be_rejected(breaker).state is CircuitState.OPEN
    assert circuit.field("state") == "open"


def test_sb032_unreadable_fields_are_told_once(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """The log names the key and the field that nobody can read, once however many calls there are."""
    breaker = new_breaker(redis)
    succeed(breaker)
    caplog.set_level(logging.WARNING, "sharedbreaker")
    for _ in range(3):
        CircuitInRedis(redis).set(failure_count="abc")
        fail(breaker)
        succeed(breaker)

    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "'failure_count'" in told[0]
    assert "'sharedbreaker:{orders}'" in told[0]


@pytest.mark.parametrize("lease", ["none", "far future"])
def test_sb032_half_open_whose_probe_never_ends_lets_others_probe(redis: Redis, lease: str) -> None:
    """A half-open circuit without a prober, or whose prober's lease ends in ten years, is not stuck."""
    breaker = new_breaker(redis, success_threshold=1)
    circuit = trip_and_wait(breaker, redis)
    breaker.admit()
    (token,) = circuit.leases()
    if lease == "none":
        redis.delete(circuit.leases_key)
    else:
        redis.zadd(circuit.leases_key, {token: circuit.now_ms() + TEN_YEARS_MS})
        passes(breaker)
        circuit.elapse(PROBE_MS)

    succeed(breaker)
    assert circuit.field("state") == "closed"


@pytest.mark.parametrize(
    ("timeout", "milliseconds"),
    [
        (0.25, 250),
        (1.0005, 1000),
        (1.0015, 1002),
        (1, 1000),
        (1.0, 1000),
        (0.001, 1),
        (timedelta(seconds=0.25), 250),
        (timedelta(minutes=90), 5_400_000),
        (31_536_000, 31_536_000_000),
    ],
)
def test_sb035_open_period_is_exact_to_the_millisecond(redis: Redis, timeout: Any, milliseconds: int) -> None:
    """Whatever type the timeout has, the circuit is open for so many milliseconds, and says so."""
    breaker = new_breaker(redis, timeout=timeout)
    fail(breaker, 3)
    circuit = CircuitInRedis(redis)

    assert circuit.number("open_until") - circuit.number("opened_at") == milliseconds
    assert abs(circuit.number("opened_at") - circuit.now_ms()) < 60_000
    metrics = breaker.get_metrics()
    assert metrics["open_until"] - metrics["opened_at"] == pytest.approx(milliseconds / 1000, abs=0.001)


@pytest.mark.parametrize("start", [99_999_999, 199_999_999, 2**53 - 1, 2**53, 2**53 + 1])
@pytest.mark.parametrize("max_staleness", [0, LONG], ids=["strict", "stale"])
def test_sb035_counters_are_exact_at_any_size(redis: Redis, start: int, max_staleness: float) -> None:
    """Every tally goes on by one from where it is, and is shown to the last digit."""
    breaker = new_breaker(redis, max_staleness=max_staleness)
    succeed(breaker)
    breaker._store.keep()
    circuit = CircuitInRedis(redis)
    circuit.set(successful_calls=start, failed_calls=start, closed_to_open=start, rejected_calls=start)

    succeed(breaker)
    fail(breaker, 3)
    be_rejected(breaker)
    breaker._store.keep()

    assert circuit.field("successful_calls") == str(start + 1)
    assert circuit.field("failed_calls") == str(start + 3)
    assert circuit.field("closed_to_open") == str(start + 1)
    assert circuit.field("rejected_calls") == str(start + 1)
    metrics = breaker.get_metrics()
    assert metrics["total_calls"] == 3 * start + 5
    assert metrics["state_transitions"]["closed_to_open"] == start + 1


def test_sb035_missing_fields_shorten_no_reply(redis: Redis, command: CommandLine) -> None:
    """An open circuit that lacks any one of its fields is shown by every way to look, and rejects."""
    breaker = new_breaker(redis)
    circuit = trip(breaker, redis)
    whole = circuit.fields()
    for name in whole:
        circuit.drop(name)
        states = looks(redis, breaker, command)
        assert states == ["closed" if name == "state" else "open"] * 4, name
        breaker.snapshot()
        passes(breaker)
        redis.delete(circuit.key)
        circuit.set(**whole)
    assert be_rejected(breaker).state is CircuitState.OPEN
