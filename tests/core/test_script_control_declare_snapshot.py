"""Spoken to directly: lua/control.lua, lua/declare.lua and lua/snapshot.lua."""

from __future__ import annotations

import pytest
from redis import Redis, ResponseError
from spoken_scripts import SETTINGS, admit, control, declare, everything, snapshot, speak

from circuit_in_redis import CircuitInRedis
from sharedbreaker.store.keys import keys_of
from sharedbreaker.store.scripts import SCRIPTS, script

pytestmark = pytest.mark.sync_only("the scripts are spoken to by hand")


@pytest.mark.parametrize(
    ("act", "state", "mode", "transition"),
    [
        ("force_open", "open", "held_open", "closed_to_open"),
        ("force_close", "closed", "automatic", ""),
        ("disable", "closed", "disabled", ""),
        ("enable", "closed", "automatic", ""),
    ],
)
def test_act_is_done(redis: Redis, act: str, state: str, mode: str, transition: str) -> None:
    """Each act answers done, with the state, mode and epoch after it and the transition it made."""
    declare(redis)

    reply = control(redis, act)

    assert reply == ["done", state, mode, CircuitInRedis(redis).field("epoch"), transition]


def test_control_of_no_circuit_is_undeclared(redis: Redis) -> None:
    """An act on a circuit that is not there answers undeclared and writes nothing."""
    assert control(redis, "force_open")[0] == "undeclared"
    assert redis.dbsize() == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("force_open",),
        ("banana", "alice", "", ""),
        ("", "alice", "", ""),
        ("force_open", "alice", "", "abc"),
    ],
    ids=["none", "act only", "unknown act", "no act", "time that is no number"],
)
def test_wrong_arguments_hold_nothing(redis: Redis, arguments: tuple[str, ...]) -> None:
    """Arguments that do not fit the header are an error, and change nothing."""
    declare(redis)
    before = everything(redis)

    with pytest.raises(ResponseError):
        speak(redis, "control", *arguments)

    assert everything(redis) == before


@pytest.mark.parametrize("act", ["force_open", "force_close", "disable", "enable"])
def test_act_that_is_sent_again_is_done_once(redis: Redis, act: str) -> None:
    """The same request sent again answers done, and changes not one byte."""
    declare(redis)
    control(redis, act, "r1")
    before = everything(redis)

    assert control(redis, act, "r1", again=True)[0] == "done"
    assert everything(redis) == before


def test_act_that_never_arrived_is_done_when_it_is_sent_again(redis: Redis) -> None:
    """A request that is sent again although the first sending was lost is done like any other."""
    declare(redis)

    assert control(redis, "force_open", "r1", again=True)[:3] == ["done", "open", "held_open"]
    assert CircuitInRedis(redis).transitions() == {"closed_to_open": 1}


def test_first_declaration_creates(redis: Redis) -> None:
    """The first declaration answers created and writes a closed circuit with all its fields."""
    assert declare(redis) == ["created"]

    fields = CircuitInRedis(redis).fields()
    assert (fields["state"], fields["mode"], fields["failure_count"]) == ("closed", "automatic", "0")
    assert fields.items() >= SETTINGS.items()
    assert fields["closed_to_open"] == fields["lost_calls"] == "0"


def test_same_declaration_is_the_same(redis: Redis) -> None:
    """Declaring what is in force answers same and changes not one byte."""
    declare(redis)
    before = everything(redis)

    assert declare(redis) == ["same"]
    assert everything(redis) == before


def test_other_declaration_changes(redis: Redis) -> None:
    """Declaring something else answers changed and writes one event."""
    declare(redis)

    assert declare(redis, failure_threshold=9) == ["changed"]
    circuit = CircuitInRedis(redis)
    assert circuit.field("failure_threshold") == "9"
    assert len(circuit.events()) == 2


def test_declaration_repairs_what_a_deleted_field_left(redis: Redis) -> None:
    """Declaring again puts a setting back that somebody deleted, and touches no tally."""
    declare(redis)
    circuit = CircuitInRedis(redis)
    circuit.set(successful_calls=7)
    circuit.drop("failure_threshold", "open_timeout_ms")

    declare(redis)

    assert circuit.fields().items() >= {**SETTINGS, "successful_calls": "7"}.items()


def test_snapshot_of_no_circuit_has_no_fields(redis: Redis) -> None:
    """Looking at a circuit that is not there shows the time, nothing in flight and no fields."""
    now_ms, in_flight, probes, fields = snapshot(redis)

    assert abs(int(now_ms) - CircuitInRedis(redis).now_ms()) < 60_000
    assert (int(in_flight), int(probes), fields) == (0, 0, [])


def test_snapshot_is_the_hash_with_what_is_in_flight(redis: Redis) -> None:
    """The reply holds every field of the hash flat, and how many leases there are."""
    declare(redis)
    admit(redis, "t1")
    admit(redis, "t2")

    _, in_flight, probes, flat = snapshot(redis)

    assert (int(in_flight), int(probes)) == (2, 0)
    assert dict(zip(flat[::2], flat[1::2], strict=True)) == CircuitInRedis(redis).fields()


def test_looking_changes_nothing(redis: Redis) -> None:
    """A snapshot leaves every key as it was, also where leases have run out."""
    declare(redis)
    admit(redis, "t1")
    CircuitInRedis(redis).elapse(10**9)
    before = everything(redis)

    snapshot(redis)

    assert everything(redis) == before


def test_lease_that_ran_out_is_not_in_flight(redis: Redis) -> None:
    """A call whose lease is over is not shown as in flight, though nobody has counted it as lost yet."""
    declare(redis)
    admit(redis, "t1")
    CircuitInRedis(redis).elapse(10**9)

    assert int(snapshot(redis)[1]) == 0


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_touch_only_the_keys_that_they_are_given(redis: Redis, name: str) -> None:
    """All keys of every script lie in one slot, and the source builds no key by itself."""
    keys = keys_of("orders").of_script
    assert {key[key.index("{") : key.index("}") + 1] for key in keys} == {"{orders}"}
    assert "sharedbreaker:" not in script(name).source


@pytest.mark.parametrize("name", SCRIPTS)
def test_sha_is_the_one_that_redis_computes(redis: Redis, name: str) -> None:
    """The digest that a script is run by is the one under which Redis keeps it."""
    assert redis.script_load(script(name).source) == script(name).sha


def test_declaration_forgets_batches_of_the_day_before(redis: Redis) -> None:
    """The names of batches do not pile up: a process that comes declares, and those of a day ago go."""
    declare(redis)
    circuit = CircuitInRedis(redis)
    now_ms = circuit.now_ms()
    redis.zadd(f"{circuit.key}:batches", {"old": now_ms - 86_400_001, "young": now_ms - 86_000_000})

    declare(redis)

    assert redis.zrange(f"{circuit.key}:batches", 0, -1) == ["young"]
