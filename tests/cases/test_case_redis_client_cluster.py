"""Cases SB-041, SB-043, SB-044 and SB-045: scripts, slots and names on a Redis Cluster."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from case_clusters import TwinMaster, client_of, one_shard, twin_master
from case_variants import both_kinds
from redis import Redis
from topology_lifecycle import SharedCircuit, check_lifecycle, wait_for_tallies, wait_until, wait_until_shared
from verbs import CommandLine

import breaker_kinds
from circuit_in_redis import fail, new_breaker, succeed
from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, Operator, SettingsError
from sharedbreaker.store.fleet import Fleet

TWENTY = [f"circuit-{number}" for number in range(20)]
BAD_NAMES = ["gemini{text}", "{}", "}{", "a{b"]
BAD_PREFIXES = ["{prod}", "x}y"]


@pytest.fixture(scope="module")
def shard() -> Iterator[Redis]:
    with one_shard() as shard:
        yield shard


@pytest.fixture
def admin(shard: Redis) -> Redis:
    shard.flushall()
    shard.script_flush()
    return shard


def port_of(node: Redis) -> int:
    return int(node.connection_pool.connection_kwargs["port"])


@pytest.fixture(scope="module")
def twin() -> Iterator[TwinMaster]:
    with twin_master() as twin:
        yield twin


@both_kinds
@pytest.mark.parametrize("protocol", [2, 3])
def test_sb041_whole_life_on_a_cluster_is_the_same_in_either_protocol(admin: Redis, protocol: int) -> None:
    """On a Cluster too RESP2 and RESP3 lead to the same life, and a look shows what there is."""
    client = client_of(port_of(admin), protocol=protocol)
    first, second = new_breaker(client), new_breaker(client_of(port_of(admin), decode_responses=True))

    check_lifecycle(first, second, SharedCircuit(admin))

    (seen,) = Fleet(client).look().circuits
    assert seen.fields == first.snapshot().fields == SharedCircuit(admin).fields()


def test_sb043_scripts_are_found_wherever_a_slot_is_served(twin: TwinMaster) -> None:
    """Circuits on all masters count exactly over SCRIPT FLUSH on one node and a failover of another."""
    cluster = twin.cluster
    breakers = []
    for number, (kind, max_staleness) in enumerate(product(breaker_kinds.KINDS, (0, 30))):
        breaker_kinds.begin(kind)
        client = client_of(cluster.ports[1])
        names = [cluster.names_on(master, number + 1)[number] for master in range(3)]
        settings = {"max_staleness": max_staleness, "redis_retry_interval": 0.02}
        breakers += [new_breaker(client, name=name, **settings) for name in names]
    fleet = Fleet(client_of(cluster.ports[2]), timeout=5)
    for breaker in breakers:
        succeed(breaker)
        fail(breaker)
    assert {circuit.name for circuit in fleet.look().circuits} == {breaker.name for breaker in breakers}

    cluster.nodes[1].script_flush()
    twin.fail_over()
    for breaker in breakers:
        succeed(breaker, 2)
        fail(breaker)
    wait_until_shared(*breakers)

    for breaker in breakers:
        wait_for_tallies(breaker, success=3, failure=2)
        assert breaker.get_metrics()["redis_available"] is True
    wait_until(lambda: not fleet.look().troubles, "a look finds the promoted master")
    assert {circuit.name for circuit in fleet.look().circuits} == {breaker.name for breaker in breakers}


def test_sb043_look_sends_the_script_to_the_nodes_that_forgot_it(twin: TwinMaster) -> None:
    """One look, a pipeline for each master, shows all circuits also where some nodes have lost the script."""
    cluster = twin.cluster
    names = [name for master in range(3) for name in cluster.names_on(master, 2, "looked-at")]
    client = client_of(cluster.ports[2])
    for name in names:
        succeed(new_breaker(client, name=name))
    fleet = Fleet(client, timeout=5)
    assert set(names) <= {circuit.name for circuit in fleet.look().circuits}

    for node in cluster.nodes[1:]:
        node.script_flush()
    view = fleet.look()

    assert not view.troubles
    assert set(names) <= {circuit.name for circuit in view.circuits}


@both_kinds
def test_sb044_twenty_circuits_live_on_a_single_shard(admin: Redis) -> None:
    """On a server in cluster mode twenty circuits live a whole life and are listed: no CROSSSLOT anywhere."""
    client = client_of(port_of(admin))
    for name in TWENTY:
        first, second = (new_breaker(client, name=name, idle_ttl=100) for _ in range(2))
        check_lifecycle(first, second, SharedCircuit(admin, name))

    view = Fleet(client).look()

    assert [circuit.name for circuit in view.circuits] == sorted(TWENTY)
    assert not view.troubles
    for name in TWENTY:
        Operator(name, redis=client).forget()
    assert not Fleet(client).look().circuits


def test_sb044_scripts_touch_the_keys_that_they_declare_and_no_others(admin: Redis) -> None:
    """Whatever key a script touches, MONITOR shows it among the keys declared with it, all in one slot."""
    client = client_of(port_of(admin))
    first, second = (new_breaker(client, idle_ttl=100, push=True) for _ in range(2))
    with Redis(port=port_of(admin)).monitor() as monitor:
        check_lifecycle(first, second, SharedCircuit(admin))
        Operator("orders", redis=client).tune({"failure_threshold": 9})
        Operator("orders", redis=client).forget()
        admin.echo("the end")
        touched, declared = touched_and_declared(monitor.listen())

    assert touched
    assert touched <= declared
    assert len({admin.execute_command("CLUSTER KEYSLOT", key) for key in declared}) == 1


def touched_and_declared(commands: Iterator[dict[str, Any]]) -> tuple[set[str], set[str]]:
    """The keys that scripts touched, and those that were named as KEYS of a script."""
    touched: set[str] = set()
    declared: set[str] = set()
    now_declared: set[str] = set()
    for told in commands:
        words = told["command"].split(" ")
        if words[0] == "ECHO":
            return touched, declared
        if told["client_type"] == "lua":
            if words[0].upper() not in ("TIME", "PUBLISH"):
                assert words[1] in now_declared, told["command"]
                touched.add(words[1])
        elif words[0] == "EVALSHA":
            now_declared = set(words[3 : 3 + int(words[2])])
            declared |= now_declared
    raise AssertionError("MONITOR ended")


@pytest.mark.parametrize("bad", BAD_NAMES)
@pytest.mark.parametrize("kind", [CircuitBreaker, AsyncCircuitBreaker, Operator])
def test_sb045_name_with_braces_is_refused_where_it_is_given(kind: Any, bad: str) -> None:
    """A name with braces is refused at construction, by the rule: no call ever meets a CROSSSLOT."""
    with pytest.raises(SettingsError, match=r"name must be .* letters, digits"):
        kind(name=bad)


@pytest.mark.parametrize("bad", BAD_PREFIXES)
@pytest.mark.parametrize("kind", [CircuitBreaker, AsyncCircuitBreaker, Operator])
def test_sb045_prefix_with_braces_is_refused_where_it_is_given(kind: Any, bad: str) -> None:
    """A prefix with braces would take the hash tag's place, and is refused at construction."""
    with pytest.raises(SettingsError, match=r"prefix must be .* letters, digits"):
        kind(name="orders", prefix=bad)
    with pytest.raises(SettingsError, match=r"prefix must be"):
        Fleet(prefix=bad)


@pytest.mark.parametrize("bad", BAD_NAMES)
def test_sb045_command_line_refuses_it_too(bad: str) -> None:
    """`sharedbreaker close` and the others say the rule, and ask no Redis."""
    for verb in ("close", "show", "hold-open", "forget"):
        ran = CommandLine("redis://127.0.0.1:1")(verb, bad)
        assert (ran.exit_code, "letters, digits" in ran.err) == (2, True), ran


def test_sb045_foreign_name_in_the_list_hides_no_other(admin: Redis) -> None:
    """A name with braces that somebody wrote into the list is named as a trouble; all others are shown."""
    client = client_of(port_of(admin))
    succeed(new_breaker(client))
    admin.sadd("sharedbreaker:breakers", *BAD_NAMES)

    view = Fleet(client).look()

    assert [circuit.name for circuit in view.circuits] == ["orders"]
    assert set(view.troubles) == set(BAD_NAMES)
    assert view.is_up


@both_kinds
@pytest.mark.parametrize("name", ["a:leases", "a", "a:events", "a/b.c-d_e"])
def test_sb045_no_two_names_share_a_key(admin: Redis, name: str) -> None:
    """Names that look like another circuit's keys are circuits of their own, each in one slot."""
    client = client_of(port_of(admin))
    breakers = [new_breaker(client, name=other) for other in {"a", "b", name}]
    for breaker in breakers:
        fail(breaker, 3)

    keys = [key for key in admin.scan_iter() if key != "sharedbreaker:breakers"]

    slots = {breaker.name: admin.execute_command("CLUSTER KEYSLOT", breaker.name) for breaker in breakers}
    for breaker in breakers:
        own = [key for key in keys if f"{{{breaker.name}}}" in key]
        assert {admin.execute_command("CLUSTER KEYSLOT", key) for key in own} == {slots[breaker.name]}
        assert breaker.get_metrics()["failed_calls"] == 3
