"""Circuits that nobody uses: those that may go do, all of them; those that matter never do."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest
from held_call import HeldCall
from redis import Redis
from stale_circuits import load_scripts, wait_until
from verbs import CommandLine
from verbs import command as command

from circuit_in_redis import (
    OPEN_MS,
    CircuitInRedis,
    ServiceDownError,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    trip,
    trip_and_wait,
)
from sharedbreaker import Operator, SettingsError
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.store.fleet import Fleet

SHORTEST: dict[str, Any] = {"idle_ttl": 0.03, "lease_timeout": 0.03, "probe_timeout": 0.03}
"""Settings of circuits that are forgotten soon."""
BEYOND = 0.05
"""Seconds after which they would be gone."""
FOREVER = -1


def lifetimes(redis: Redis) -> set[int]:
    """Milliseconds for which each key of a circuit will be there."""
    return {int(redis.pttl(key)) for key in redis.scan_iter() if not key.endswith(":breakers")}


def test_sb029_open_circuit_outlives_its_idle_time(redis: Redis) -> None:
    """With the shortest idle_ttl an open circuit is there, and open, long after; then probes decide."""
    breaker = new_breaker(redis, **SHORTEST)
    circuit = trip(breaker, redis)
    assert lifetimes(redis) == {FOREVER}
    time.sleep(BEYOND)

    be_rejected(breaker)
    circuit.elapse(OPEN_MS)
    succeed(breaker)
    assert circuit.transitions() == {"closed_to_open": 1, "open_to_half_open": 1}


def test_sb029_delay_that_the_service_asked_for_outlives_the_idle_time(redis: Redis) -> None:
    """A service that asks for an hour gets it, whatever idle_ttl is."""
    breaker = new_breaker(redis, **SHORTEST, max_timeout=3600, retry_after_of=lambda _: 3600)
    fail(breaker, 3)
    time.sleep(BEYOND)

    retry_after = be_rejected(breaker).retry_after
    assert retry_after is not None
    assert 3590 < retry_after <= 3600
    assert lifetimes(redis) == {FOREVER}


def test_sb029_running_probe_outlives_the_idle_time(redis: Redis) -> None:
    """A probe that runs for longer than idle_ttl finds its circuit half-open, and its end decides."""
    breaker = new_breaker(redis, **{**SHORTEST, "probe_timeout": 0.03}, success_threshold=1)
    circuit = trip_and_wait(breaker, redis)
    probe = HeldCall(breaker)
    assert probe.is_inside
    time.sleep(BEYOND)
    assert circuit.field("state") == "half_open"
    assert lifetimes(redis) == {FOREVER}

    probe.end(ServiceDownError("503"))
    assert circuit.field("state") in {"open", "half_open"}
    assert circuit.field("closed_to_open") == "1"


@pytest.mark.parametrize("longer", ["lease_timeout", "probe_timeout"])
def test_sb029_idle_time_shorter_than_a_lease_is_refused(longer: str) -> None:
    """A circuit that could be forgotten under its own calls is refused, and both settings are named."""
    with pytest.raises(SettingsError, match=f"idle_ttl must not be shorter than .*{longer}"):
        new_breaker(None, **{**SHORTEST, longer: 0.031})


def test_sb029_call_in_flight_keeps_a_closed_circuit(redis: Redis) -> None:
    """While a call is under way its circuit does not expire before its lease does."""
    breaker = new_breaker(redis, idle_ttl=100, lease_timeout=100)
    call = HeldCall(breaker)
    circuit = CircuitInRedis(redis)
    lease_ms = max(circuit.leases().values()) - circuit.now_ms()

    assert min(lifetimes(redis)) >= lease_ms - 50
    call.end()


def use_once(redis: Redis, count: int) -> set[str]:
    """Use so many names once, open one more and hold another; wait until all idle ones are gone."""
    for number in range(count):
        succeed(new_breaker(redis, name=f"tenant-{number}", **SHORTEST))
    fail(new_breaker(redis, name="open", **SHORTEST), 3)
    new_breaker(redis, name="held", **SHORTEST).force_open()
    wait_until(lambda: len(list(redis.scan_iter(_type="hash"))) == 2, "the idle ones are gone")
    return {"open", "held"}


def test_sb030_circuits_that_nobody_uses_go_and_those_that_matter_stay(
    redis: Redis, command: CommandLine
) -> None:
    """Names used once leave no key, row or series; the open one and the held one stay in all of them."""
    stay = use_once(redis, 200)

    keys = {f"sharedbreaker:{{{name}}}{suffix}" for name in stay for suffix in ("", ":events")}
    assert set(redis.scan_iter()) == {*keys, "sharedbreaker:breakers"}
    assert {circuit.name for circuit in Fleet(redis).look().circuits} == stay
    assert {circuit["name"] for circuit in command("status", "--json").json["circuits"]} == stay


def test_sb030_list_of_names_shrinks_with_the_circuits(redis: Redis) -> None:
    """Whoever lists a name takes off those whose circuits are gone: the list cannot grow for ever.

    Failed at first: with idle_ttl the names of circuits that were gone stayed in the list, which grew with
    every name ever used, and each look at the fleet asked for all of them.
    """
    stay = use_once(redis, 60)

    for _ in range(2000):
        succeed(new_breaker(redis, name="worker", idle_ttl=60, lease_timeout=60))
        if (listed := redis.smembers("sharedbreaker:breakers")) == {*stay, "worker"}:
            break
    assert listed == {*stay, "worker"}


def test_sb030_names_without_an_idle_time_are_not_looked_at(redis: Redis) -> None:
    """Where no circuit can expire, nothing but the name is asked of the list."""
    succeed(new_breaker(redis))
    redis.config_resetstat()
    succeed(new_breaker(redis))

    asked = redis.info("commandstats")
    assert "cmdstat_sadd" in asked
    assert not {"cmdstat_srandmember", "cmdstat_exists", "cmdstat_srem"} & asked.keys()


def test_sb030_name_of_a_circuit_that_comes_back_meanwhile_stays(redis: Redis) -> None:
    """A circuit that a call makes anew while an operator forgets it is in the list afterwards.

    Failed at first: it was in no list until its processes were restarted.
    """
    load_scripts(redis)
    succeed(new_breaker(redis))
    steps = Operator("orders", redis=redis)._circuit.remove(force=True)
    command = next(steps)
    while command.words[0] != "SREM":
        command = steps.send(redis.execute_command(*command.words))
    succeed(new_breaker(redis))
    with suppress(StopIteration):
        while True:
            command = steps.send(redis.execute_command(*command.words))

    assert redis.smembers("sharedbreaker:breakers") == {"orders"}
    assert redis.hget("sharedbreaker:{orders}", "state") == "closed"


def test_sb030_user_without_the_rights_for_it_keeps_the_names(
    redis: Redis, redis_server: RedisServer
) -> None:
    """Where a user may not look through the list, calls and listing go on as before."""
    redis.execute_command("ACL", "SETUSER", "few", "on", ">secret", "~*", "+@all", "-srandmember")
    try:
        url = redis_server.url.replace("//", "//few:secret@")
        breaker = new_breaker(url, idle_ttl=60, lease_timeout=60)
        succeed(breaker)
        assert breaker.get_metrics()["redis_available"]
        assert redis.smembers("sharedbreaker:breakers") == {"orders"}
    finally:
        redis.execute_command("ACL", "DELUSER", "few")


def test_sb030_nothing_goes_by_default(redis: Redis) -> None:
    """Without idle_ttl, which is the default, a circuit stays for ever in any state."""
    breaker = new_breaker(redis, idle_ttl=None)
    succeed(breaker)
    assert lifetimes(redis) == {FOREVER}
    fail(breaker, 3)
    assert lifetimes(redis) == {FOREVER}
