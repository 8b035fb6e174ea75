"""Spoken to directly, lua/admit.lua: it says whether a call may run."""

from __future__ import annotations

import pytest
from redis import Redis, ResponseError
from spoken_scripts import admit, control, declare, everything, report, speak

from circuit_in_redis import OPEN_MS, CircuitInRedis

pytestmark = pytest.mark.sync_only("the scripts are spoken to by hand")


def open_circuit(redis: Redis) -> CircuitInRedis:
    for number in range(2):
        reply = admit(redis, f"failing{number}")
        report(redis, f"failing{number}", reply[3], "failure", "Error")
    circuit = CircuitInRedis(redis)
    assert circuit.field("state") == "open"
    return circuit


def test_circuit_without_settings_is_undeclared(redis: Redis) -> None:
    """Where no settings are in force the answer is undeclared, and nothing is written."""
    assert admit(redis, "t1")[0] == "undeclared"
    assert redis.dbsize() == 0


def test_closed_circuit_admits(redis: Redis) -> None:
    """In closed the answer is admitted, with state, mode and epoch, and the token is a lease."""
    declare(redis)

    reply = admit(redis, "t1")

    circuit = CircuitInRedis(redis)
    assert reply[:4] == ["admitted", "closed", "automatic", circuit.field("epoch")]
    assert reply[5:] == [""]
    assert list(circuit.leases()) == ["t1"]


def test_open_circuit_rejects_and_says_for_how_long(redis: Redis) -> None:
    """In open the answer is rejected with the milliseconds that are left, and there is no lease."""
    declare(redis)
    circuit = open_circuit(redis)

    verdict, state, mode, epoch, retry_after_ms, transition = admit(redis, "t1")

    assert (verdict, state, mode, transition) == ("rejected", "open", "automatic", "")
    assert epoch == circuit.field("epoch")
    assert 0 < int(retry_after_ms) <= OPEN_MS
    assert circuit.leases() == {}


def test_first_call_after_the_open_period_is_told_of_the_transition(redis: Redis) -> None:
    """The admission that moves the circuit is a probe and names the transition it made."""
    declare(redis)
    circuit = open_circuit(redis)
    circuit.elapse(OPEN_MS)

    reply = admit(redis, "t1")

    assert reply[:4] == ["probe", "half_open", "automatic", circuit.field("epoch")]
    assert reply[5] == "open_to_half_open"
    assert list(circuit.leases()) == ["probe:t1"]


def test_call_without_a_place_is_rejected_in_half_open(redis: Redis) -> None:
    """With all probes out the answer is rejected in half_open, and no transition is told."""
    declare(redis)
    circuit = open_circuit(redis)
    circuit.elapse(OPEN_MS)
    admit(redis, "t1")

    reply = admit(redis, "t2")

    assert (reply[0], reply[1], reply[5]) == ("rejected", "half_open", "")
    assert list(circuit.leases()) == ["probe:t1"]


def test_held_circuit_rejects_without_a_time(redis: Redis) -> None:
    """A circuit held without an end rejects with an empty retry_after_ms."""
    declare(redis)
    control(redis, "force_open")

    assert admit(redis, "t1")[:3] == ["rejected", "open", "held_open"]
    assert admit(redis, "t2")[4] == ""


def test_disabled_circuit_admits(redis: Redis) -> None:
    """A disabled circuit admits, and says that it is disabled."""
    declare(redis)
    control(redis, "disable")

    assert admit(redis, "t1")[:3] == ["admitted", "closed", "disabled"]


def test_replay_in_closed_is_the_same_lease(redis: Redis) -> None:
    """The same token sent again is admitted again, and is one lease that one report ends."""
    declare(redis)
    first = admit(redis, "t1")

    second = admit(redis, "t1", again=True)

    assert second[:4] == first[:4]
    assert report(redis, "t1", second[3], "success")[0] == "counted"
    assert CircuitInRedis(redis).leases() == {}


def test_replay_of_a_probe_takes_one_place(redis: Redis) -> None:
    """The token of a probe sent again is the same probe: the only place is not taken twice."""
    declare(redis)
    circuit = open_circuit(redis)
    circuit.elapse(OPEN_MS)
    admit(redis, "t1")

    reply = admit(redis, "t1", again=True)

    assert reply[:2] == ["probe", "half_open"]
    assert list(circuit.leases()) == ["probe:t1"]
    assert circuit.transitions() == {"closed_to_open": 1, "open_to_half_open": 1}
    assert report(redis, "probe:t1", reply[3], "success")[0] == "counted"
    assert circuit.field("success_count") == "1"


def test_replay_of_a_call_that_never_arrived_is_an_ordinary_admission(redis: Redis) -> None:
    """A token that is sent again although the first sending was lost is admitted like any other."""
    declare(redis)

    assert admit(redis, "t1", again=True)[0] == "admitted"
    assert list(CircuitInRedis(redis).leases()) == ["t1"]


def test_replay_after_a_trip_leaves_nothing_that_decides(redis: Redis) -> None:
    """A token admitted in closed and sent again when the circuit is half-open decides at most as a probe."""
    declare(redis, half_open_max_calls=2, success_threshold=1)
    admit(redis, "t1")
    circuit = open_circuit(redis)
    circuit.set(open_until=circuit.now_ms(), opened_at=circuit.now_ms() - OPEN_MS)
    admit(redis, "t2")
    state = circuit.state_and_counts()

    reply = admit(redis, "t1", again=True)

    if reply[0] == "admitted":
        report(redis, "t1", reply[3], "success")
        assert circuit.state_and_counts() == state
    else:
        assert reply[0] in {"probe", "rejected"}
        assert "t1" not in circuit.leases()


def test_probe_that_was_replayed_into_the_next_epoch_is_on_the_books_once(redis: Redis) -> None:
    """Whatever happened between two sendings of one token, at most one lease bears it."""
    declare(redis, half_open_max_calls=2)
    admit(redis, "t1")
    circuit = open_circuit(redis)
    circuit.set(open_until=circuit.now_ms(), opened_at=circuit.now_ms() - OPEN_MS)

    admit(redis, "t1", again=True)

    assert len([token for token in circuit.leases() if token.endswith("t1")]) <= 1


def test_call_without_a_token_is_an_error(redis: Redis) -> None:
    """Without any argument the script is an error, and changes nothing."""
    declare(redis)
    before = everything(redis)

    with pytest.raises(ResponseError):
        speak(redis, "admit")

    assert everything(redis) == before


def test_unreadable_field_is_named_at_the_end_of_the_reply(redis: Redis) -> None:
    """A field that no script could have written is told after the fixed part of the reply."""
    declare(redis)
    CircuitInRedis(redis).set(state="banana")

    reply = admit(redis, "t1")

    assert reply[0] == "admitted"
    assert "state" in reply[6:]


@pytest.mark.parametrize(
    ("field", "foreign"), [("epoch", "abc"), ("observe", "x"), ("ramp_until", "soon"), ("max_in_flight", "x")]
)
def test_foreign_value_is_not_taken_the_short_way(redis: Redis, field: str, foreign: str) -> None:
    """What no script wrote is named in the answer, also where most calls are answered at once."""
    declare(redis, max_in_flight=3, observe=0, ramp_up_ms=1000, slow_call_rate_percent=0)
    admit(redis, "the first one finds when leases end")
    CircuitInRedis(redis).set(**{field: foreign})

    assert field in admit(redis, "t1")[6:]


def test_foreign_epoch_is_not_taken_the_short_way(redis: Redis) -> None:
    """The epoch of an open circuit is made anew where no script wrote it."""
    declare(redis)
    circuit = open_circuit(redis)
    admit(redis, "the first one finds when leases end")
    circuit.set(epoch="abc")

    reply = admit(redis, "t1")

    assert reply[6:] == ["epoch"]
    assert reply[3] == circuit.field("epoch")


@pytest.mark.parametrize(
    ("mode", "answer"),
    [("disabled", ["admitted", "closed", "disabled"]), ("typo", ["rejected", "open", "automatic"])],
)
def test_open_circuit_of_another_mode_is_not_taken_for_held_open(
    redis: Redis, mode: str, answer: list[str]
) -> None:
    """Only a hand that holds it open is answered at once; a mode that contradicts the state is put right."""
    declare(redis)
    control(redis, "force_open")
    admit(redis, "the first one finds when leases end")
    CircuitInRedis(redis).set(mode=mode)

    assert admit(redis, "t1")[:3] == answer
