"""Spoken to directly, lua/report.lua: it is told how an admitted call ended."""

from __future__ import annotations

import contextlib

import pytest
from redis import Redis, ResponseError
from spoken_scripts import admit, control, declare, everything, report, speak

from circuit_in_redis import LEASE_MS, OPEN_MS, CircuitInRedis

pytestmark = pytest.mark.sync_only("the scripts are spoken to by hand")


def epoch_of(redis: Redis) -> str:
    return CircuitInRedis(redis).fields()["epoch"]


def half_open(redis: Redis) -> CircuitInRedis:
    """Open the circuit by failures and let its open period pass."""
    for number in range(2):
        reply = admit(redis, f"failing{number}")
        report(redis, f"failing{number}", reply[3], "failure", "Error")
    circuit = CircuitInRedis(redis)
    circuit.elapse(OPEN_MS)
    return circuit


@pytest.mark.parametrize(
    ("outcome", "tally"),
    [
        ("success", "successful_calls"),
        ("failure", "failed_calls"),
        ("ignored", "ignored_calls"),
        ("released", "released_calls"),
    ],
)
def test_report_is_counted_once(redis: Redis, outcome: str, tally: str) -> None:
    """The first report is counted; the same again is unknown and changes not one byte."""
    declare(redis)
    epoch = admit(redis, "t1")[3]

    reply = report(redis, "t1", epoch, outcome)
    before = everything(redis)
    again = report(redis, "t1", epoch, outcome)

    assert reply == ["counted", "closed", "automatic", epoch, ""]
    assert again == ["unknown", "closed", "automatic", epoch, ""]
    assert everything(redis) == before
    assert CircuitInRedis(redis).number(tally) == 1


def test_token_that_was_never_admitted_is_unknown(redis: Redis) -> None:
    """A report of a token that is on no books counts nothing."""
    declare(redis)
    before = everything(redis)

    assert report(redis, "stranger", epoch_of(redis), "failure")[0] == "unknown"
    assert everything(redis) == before


def test_report_without_the_probes_prefix_does_not_end_a_probe(redis: Redis) -> None:
    """A probe is reported under the name that it was admitted with."""
    declare(redis)
    circuit = half_open(redis)
    epoch = admit(redis, "t1")[3]

    assert report(redis, "t1", epoch, "success")[0] == "unknown"
    assert list(circuit.leases()) == ["probe:t1"]


def test_failure_that_trips_tells_the_transition(redis: Redis) -> None:
    """The report that opens the circuit names the transition, the new state and the new epoch."""
    declare(redis)
    epoch = admit(redis, "t1")[3]
    admit(redis, "t2")
    assert report(redis, "t1", epoch, "failure", "Error")[4] == ""

    reply = report(redis, "t2", epoch, "failure", "Error")

    assert (reply[0], reply[1], reply[4]) == ("counted", "open", "closed_to_open")
    assert int(reply[3]) > int(epoch)


def test_success_that_closes_tells_the_transition(redis: Redis) -> None:
    """The probe's report that closes the circuit names the transition."""
    declare(redis, success_threshold=1)
    half_open(redis)
    epoch = admit(redis, "t1")[3]

    reply = report(redis, "probe:t1", epoch, "success")

    assert (reply[0], reply[1], reply[4]) == ("counted", "closed", "half_open_to_closed")


def test_failing_probe_tells_the_transition(redis: Redis) -> None:
    """The probe's report that opens the circuit again names the transition."""
    declare(redis)
    half_open(redis)
    epoch = admit(redis, "t1")[3]

    reply = report(redis, "probe:t1", epoch, "failure", "Error")

    assert (reply[0], reply[1], reply[4]) == ("counted", "open", "half_open_to_open")


@pytest.mark.parametrize("outcome", ["success", "failure", "ignored"])
def test_report_from_another_epoch_is_late(redis: Redis, outcome: str) -> None:
    """A report whose epoch is not the circuit's is late: tallied, with no transition."""
    declare(redis)
    old = admit(redis, "t1")[3]
    circuit = half_open(redis)
    before = circuit.state_and_counts()

    reply = report(redis, "t1", old, outcome, "Error")

    assert reply[0] in {"late", "unknown"}
    assert reply[4] == ""
    assert circuit.state_and_counts() == before


@pytest.mark.parametrize("epoch", ["", "0", "abc", "99999999999999999999", "1e3"])
@pytest.mark.parametrize("outcome", ["success", "failure"])
def test_epoch_that_never_was_decides_nothing(redis: Redis, epoch: str, outcome: str) -> None:
    """A report with any other epoch than the circuit's decides nothing, be it lower, higher or no number."""
    declare(redis, failure_threshold=1)
    admit(redis, "t1")
    before = CircuitInRedis(redis).state_and_counts()

    with contextlib.suppress(ResponseError):
        report(redis, "t1", epoch, outcome)

    assert CircuitInRedis(redis).state_and_counts() == before


def test_lost_lease_is_unknown(redis: Redis) -> None:
    """A report whose lease was counted as lost is unknown."""
    declare(redis)
    epoch = admit(redis, "t1")[3]
    circuit = CircuitInRedis(redis)
    circuit.elapse(LEASE_MS)
    admit(redis, "t2")

    assert report(redis, "t1", epoch, "success")[0] == "unknown"
    assert circuit.number("lost_calls") == 1


def test_circuit_without_settings_is_undeclared(redis: Redis) -> None:
    """Where no settings are in force the answer is undeclared, and nothing is written."""
    assert report(redis, "t1", "1", "success")[0] == "undeclared"
    assert redis.dbsize() == 0


def test_undeclared_report_counts_after_the_declaration(redis: Redis) -> None:
    """A report that met no settings still has its lease when it is sent again after declaring."""
    declare(redis)
    epoch = admit(redis, "t1")[3]
    redis.delete("sharedbreaker:{orders}")
    assert report(redis, "t1", epoch, "success")[0] == "undeclared"
    declare(redis)

    assert report(redis, "t1", epoch, "success")[0] == "late"
    assert CircuitInRedis(redis).leases() == {}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("t1",),
        ("t1", "EPOCH", "banana", "tester", ""),
        ("t1", "EPOCH", "", "tester", ""),
        ("t1", "EPOCH", "failure"),
    ],
    ids=["none", "token only", "unknown outcome", "no outcome", "failure without who"],
)
def test_wrong_arguments_count_nothing(redis: Redis, arguments: tuple[str, ...]) -> None:
    """Arguments that do not fit the header are an error and change nothing: the lease is still there."""
    declare(redis)
    epoch = admit(redis, "t1")[3]
    before = everything(redis)

    with pytest.raises(ResponseError):
        speak(redis, "report", *(epoch if word == "EPOCH" else word for word in arguments))

    assert everything(redis) == before


def test_report_on_a_held_circuit_tells_the_hold(redis: Redis) -> None:
    """A late report's reply shows that somebody holds the circuit."""
    declare(redis)
    epoch = admit(redis, "t1")[3]
    control(redis, "force_open")

    reply = report(redis, "t1", epoch, "failure", "Error")

    assert reply[:3] == ["late", "open", "held_open"]


def test_unreadable_field_is_named_at_the_end_of_the_reply(redis: Redis) -> None:
    """A count that is no number is told after the fixed part of the reply, and the report counts."""
    declare(redis)
    epoch = admit(redis, "t1")[3]
    CircuitInRedis(redis).set(failure_count="abc")

    reply = report(redis, "t1", epoch, "failure", "Error")

    assert reply[0] == "counted"
    assert "failure_count" in reply[5:]
