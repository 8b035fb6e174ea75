"""The scripts spoken to directly, as anybody with redis-cli could."""

from __future__ import annotations

from typing import Any

from redis import Redis

from circuit_in_redis import LEASE_MS, NAME, OPEN_MS, PROBE_MS
from sharedbreaker.store.keys import keys_of
from sharedbreaker.store.scripts import script

SETTINGS = {
    "failure_threshold": "2",
    "success_threshold": "2",
    "half_open_max_calls": "1",
    "open_timeout_ms": str(OPEN_MS),
    "probe_timeout_ms": str(PROBE_MS),
    "lease_timeout_ms": str(LEASE_MS),
    "idle_ttl_ms": "0",
    "max_timeout_ms": str(5 * OPEN_MS),
    "push": "0",
}


def speak(redis: Redis, name: str, *arguments: str, circuit: str = NAME) -> list[Any]:
    """Run the script ``name`` on a circuit and return its reply."""
    keys = keys_of(circuit).of_script
    reply: Any = redis.eval(script(name).source, len(keys), *keys, *arguments)
    return reply if isinstance(reply, list) else in_full(name, reply, redis.hget(keys[0], "epoch"))


def in_full(name: str, reply: bytes | str, epoch: Any) -> list[Any]:
    """What the short answer to a usual question stands for."""
    words = (reply if isinstance(reply, str) else reply.decode()).split(" ")
    if name == "report":
        assert words == ["counted"]
        return ["counted", "closed", "automatic", epoch, ""]
    assert name == "admit"
    if len(words) == 1:
        return ["admitted", "closed", "automatic", words[0], "", ""]
    return ["rejected", "open", words[2] if len(words) == 3 else "automatic", words[0], words[1], ""]


def declare(redis: Redis, **changed: str | int) -> list[Any]:
    settings = {**SETTINGS, **{name: str(value) for name, value in changed.items()}}
    pairs = [word for pair in settings.items() for word in pair]
    return speak(redis, "declare", "tester", "1", *pairs)


def admit(redis: Redis, token: str, *, again: bool = False) -> list[Any]:
    return speak(redis, "admit", token, "tester", "1" if again else "0")


def report(redis: Redis, token: str, epoch: str, outcome: str, exception: str = "") -> list[Any]:
    return speak(redis, "report", token, epoch, outcome, "tester", exception, "")


def control(redis: Redis, act: str, request: str = "", *, again: bool = False) -> list[Any]:
    return speak(redis, "control", act, "alice", "reason", "", request, "1" if again else "0")


def snapshot(redis: Redis) -> list[Any]:
    return speak(redis, "snapshot")


def everything(redis: Redis) -> dict[str, bytes | None]:
    """Every key's content, to the byte."""
    return {key: redis.dump(key) for key in redis.scan_iter()}
