"""Corrupt fields: a call never fails of them, and the log names key and field once."""

from __future__ import annotations

import logging

import pytest
from redis import Redis

from circuit_in_redis import (
    OUTCOME_TALLIES,
    TRANSITIONS,
    CircuitInRedis,
    be_ignored,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    trip,
    trip_and_wait,
    work,
)

GARBAGE = ["abc", "", "1.5", "-3", "nan", "1e400", "ü", "9" * 40]
KEY = "sharedbreaker:{orders}"


def complaints(caplog: pytest.LogCaptureFixture, field: str) -> list[str]:
    """Log lines that name the circuit's key and the field."""
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("sharedbreaker")]
    return [message for message in messages if KEY in message and field in message]


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("field", [*OUTCOME_TALLIES[:2], "ignored_calls", "lost_calls", "closed_to_open"])
def test_corrupt_tally_breaks_no_call(redis: Redis, field: str, garbage: str) -> None:
    """With a tally that is no number, calls run, and the tally counts again from then on."""
    breaker = new_breaker(redis)
    succeed(breaker)
    circuit = CircuitInRedis(redis)
    circuit.set(**{field: garbage})

    succeed(breaker)
    be_ignored(breaker)
    breaker.admit()
    circuit.elapse(10**9)
    fail(breaker, 3)
    be_rejected(breaker)

    assert circuit.field("state") == "open"
    assert breaker.get_metrics()["total_calls"] > 0


@pytest.mark.parametrize("garbage", GARBAGE)
def test_corrupt_failure_count_counts_from_nought(redis: Redis, garbage: str) -> None:
    """A failure_count that is no number is taken as 0: the whole threshold opens the circuit."""
    breaker = new_breaker(redis)
    succeed(breaker)
    CircuitInRedis(redis).set(failure_count=garbage)

    fail(breaker, 2)
    assert breaker.get_state()["state"] == "closed"
    fail(breaker)

    assert breaker.get_state()["state"] == "open"


@pytest.mark.parametrize("garbage", GARBAGE)
def test_corrupt_success_count_counts_from_nought(redis: Redis, garbage: str) -> None:
    """A success_count that is no number is taken as 0: the whole threshold closes the circuit."""
    breaker = new_breaker(redis)
    circuit = trip_and_wait(breaker, redis)
    be_ignored(breaker)
    circuit.set(success_count=garbage)

    succeed(breaker)
    assert breaker.get_state()["state"] == "half_open"
    succeed(breaker)

    assert breaker.get_state()["state"] == "closed"


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize(
    "field",
    [
        "failure_threshold",
        "success_threshold",
        "half_open_max_calls",
        "open_timeout_ms",
        "probe_timeout_ms",
        "lease_timeout_ms",
        "idle_ttl_ms",
    ],
)
def test_corrupt_setting_is_taken_as_declared(redis: Redis, field: str, garbage: str) -> None:
    """A setting that is no number counts as this breaker declared it: outage and recovery go as ever."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)
    succeed(breaker)

    for step in (fail, fail, fail, be_rejected):
        circuit.set(**{field: garbage})
        step(breaker)
    circuit.end_open_period()
    for _ in range(2):
        circuit.set(**{field: garbage})
        succeed(breaker)

    assert circuit.transitions() == {"closed_to_open": 1, "open_to_half_open": 1, "half_open_to_closed": 1}


@pytest.mark.parametrize(
    "field",
    ["success_threshold", "half_open_max_calls", "open_timeout_ms", "probe_timeout_ms", "lease_timeout_ms"],
)
def test_setting_that_is_nought_is_taken_as_declared(redis: Redis, field: str) -> None:
    """As one that is no number: with no place for a probe, or no time for it, nothing would ever close."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)
    fail(breaker, 3)
    circuit.end_open_period()

    circuit.set(**{field: "0"})
    breaker.admit()

    assert circuit.field(field) not in {None, "0"}
    assert circuit.field("state") == "half_open"


@pytest.mark.parametrize("garbage", ["abc", "", "nan"])
def test_corrupt_epoch_does_not_stop_the_counting(redis: Redis, garbage: str) -> None:
    """With an epoch that is no number the failures of new calls still open the circuit."""
    breaker = new_breaker(redis)
    succeed(breaker)
    CircuitInRedis(redis).set(epoch=garbage)

    fail(breaker, 3)

    be_rejected(breaker)


@pytest.mark.parametrize(
    ("field", "garbage"),
    [
        ("state", "banana"),
        ("mode", "banana"),
        ("epoch", "abc"),
        ("failure_count", "abc"),
        ("failure_threshold", "abc"),
        ("open_timeout_ms", "abc"),
        ("lease_timeout_ms", "abc"),
        ("successful_calls", "abc"),
    ],
)
def test_log_names_key_and_field_once(
    redis: Redis, caplog: pytest.LogCaptureFixture, field: str, garbage: str
) -> None:
    """A foreign value is logged with the key and the field, one time however many calls meet it."""
    breaker = new_breaker(redis)
    succeed(breaker)
    caplog.set_level(logging.DEBUG)

    for _ in range(4):
        CircuitInRedis(redis).set(**{field: garbage})
        fail(breaker)
        succeed(breaker)

    assert len(complaints(caplog, field)) == 1


def test_healthy_circuit_logs_nothing_about_its_fields(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A whole outage and recovery names no field as unreadable."""
    caplog.set_level(logging.DEBUG)
    breaker = new_breaker(redis)
    trip_and_wait(breaker, redis)
    succeed(breaker, 2)

    assert not [record for record in caplog.records if KEY in record.getMessage()]


@pytest.mark.parametrize("start", [99_999_999, 199_999_999, 2**53 - 2])
@pytest.mark.parametrize("field", [*OUTCOME_TALLIES, "released_calls"])
def test_tallies_stay_exact_at_any_size(redis: Redis, field: str, start: int) -> None:
    """A tally of many millions goes on by ones, and every view shows it to the digit."""
    breaker = new_breaker(redis, failure_threshold=100)
    succeed(breaker)
    circuit = CircuitInRedis(redis)
    circuit.set(**{field: start})

    def released() -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        if field == "successful_calls":
            succeed(breaker)
        elif field == "failed_calls":
            fail(breaker)
        elif field == "ignored_calls":
            be_ignored(breaker)
        elif field == "released_calls":
            with pytest.raises(KeyboardInterrupt):
                breaker.call(released)
        else:
            breaker.force_open()
            be_rejected(breaker)

    assert circuit.field(field) == str(start + 2)
    assert breaker.get_metrics()[field] == start + 2
    if field != "released_calls":
        assert f"}} {start + 2}\n" in breaker.export_prometheus_metrics()


@pytest.mark.parametrize("start", [99_999_999, 199_999_999, 2**53 - 2])
@pytest.mark.parametrize("field", TRANSITIONS[:3])
def test_transition_tallies_stay_exact_at_any_size(redis: Redis, field: str, start: int) -> None:
    """A transition's tally of many millions goes on by ones."""
    breaker = new_breaker(redis)
    succeed(breaker)
    circuit = CircuitInRedis(redis)
    circuit.set(**{field: start})

    for _ in range(2):
        trip_and_wait(breaker, redis)
        succeed(breaker, 2)

    assert circuit.field(field) == str(start + 2)


@pytest.mark.parametrize("start", [99_999_999, 199_999_999, 2**53 - 2])
def test_huge_failure_count_opens_at_the_next_failure(redis: Redis, start: int) -> None:
    """A failure_count beyond every threshold is no error: the next failure opens the circuit."""
    breaker = new_breaker(redis)
    succeed(breaker)
    CircuitInRedis(redis).set(failure_count=start)

    fail(breaker)

    be_rejected(breaker)


def test_tally_at_the_end_of_all_numbers_breaks_no_call(redis: Redis) -> None:
    """A tally that Redis cannot count up any more fails no call."""
    breaker = new_breaker(redis)
    succeed(breaker)
    CircuitInRedis(redis).set(successful_calls=2**63 - 1, closed_to_open=2**63 - 1)

    assert breaker.call(work) == "done"
    fail(breaker, 3)
    be_rejected(breaker)


@pytest.mark.parametrize("foreign", ["note", "probes ", "état", "success_rate", ""])
def test_field_that_is_not_ours_is_left_alone(redis: Redis, foreign: str) -> None:
    """A field that somebody added stays as it is and breaks nothing."""
    breaker = new_breaker(redis)
    succeed(breaker)
    redis.hset("sharedbreaker:{orders}", foreign, "anything")

    circuit = trip(breaker, redis)

    assert circuit.field(foreign) == "anything"
    assert breaker.get_metrics()["state"] == "open"
