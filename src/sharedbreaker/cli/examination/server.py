"""The server: its version, role, memory and clock, how fast it answers, and whether it runs scripts."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator

from redis.exceptions import NoPermissionError, ReadOnlyError, ResponseError

from sharedbreaker.cli.examination.finding import Finding, Verdict
from sharedbreaker.cli.examination.patient import Patient, reason_in
from sharedbreaker.cli.moments import lasting
from sharedbreaker.store.redis_errors import hint_on
from sharedbreaker.store.scripts import script

LEAST_REDIS = (6, 2)
LEAST_VALKEY = (8, 0)
USUAL_TIMEOUT = 0.25
"""Seconds: the default of a breaker's `redis_timeout`."""
SLOW_PART = 0.2
CLOCK_SECONDS = 1.0
LOOKS = 20
FULL_PART = 0.9


def examine_server(patient: Patient) -> Iterator[Finding]:
    """Look at the server. Raises what redis-py raises where it does not answer at all."""
    yield _latency(patient)
    for what, look in _LOOKS.items():
        yield _looked_at(patient, what, look)


def _looked_at(patient: Patient, what: str, look: Callable[[Patient], Finding]) -> Finding:
    try:
        return look(patient)
    except (ResponseError, ValueError, KeyError) as error:
        return Finding(what, Verdict.UNKNOWN, f"could not be looked at: {reason_in(error)}", _ADVICE[what])


_ADVICE = {
    "version": "let this user run INFO (+info)",
    "role": "let this user run INFO (+info)",
    "memory": "let this user run INFO (+info)",
    "clock": "let this user run TIME (+time), which a breaker needs as well",
    "scripts": "let this user run EVAL and EVALSHA (+eval +evalsha), which a breaker needs as well",
}


def _latency(patient: Patient) -> Finding:
    # The first question connects, and says whether anybody is there.
    _round_trip(patient)
    took = []
    for _ in range(LOOKS):
        started = time.perf_counter()
        _round_trip(patient)
        took.append(time.perf_counter() - started)
    median, longest = statistics.median(took), max(took)
    what = (
        f"{LOOKS} round trips took {median * 1000:.1f} ms in the middle and {longest * 1000:.1f} ms at most"
    )
    advice = (
        f"a call waits up to redis_timeout ({USUAL_TIMEOUT} s by default) for it, and then its process "
        "decides by itself: bring Redis nearer, look for slow commands (SLOWLOG GET), or act on a view "
        "(max_staleness)"
    )
    if median >= USUAL_TIMEOUT:
        return Finding("latency", Verdict.FAILURE, what, advice)
    if median >= SLOW_PART * USUAL_TIMEOUT or longest >= USUAL_TIMEOUT:
        return Finding("latency", Verdict.WARNING, what, advice)
    return Finding("latency", Verdict.OK, what)


def _round_trip(patient: Patient) -> None:
    # A breaker asks for the time as well; where that is denied, the denial comes as fast.
    with contextlib.suppress(NoPermissionError):
        patient.ask("TIME")


def _version(patient: Patient) -> Finding:
    info = patient.info("server")
    if "valkey_version" in info:
        name, version, least = "Valkey", info["valkey_version"], LEAST_VALKEY
    else:
        name, version, least = "Redis", info["redis_version"], LEAST_REDIS
    numbers = tuple(int(part) for part in version.split(".")[:2])
    if numbers < least:
        return Finding(
            "version",
            Verdict.FAILURE,
            f"{name} {version}",
            f"it is too old: sharedbreaker needs {name} {least[0]}.{least[1]} or newer",
        )
    return Finding("version", Verdict.OK, f"{name} {version}")


def _role(patient: Patient) -> Finding:
    role = patient.info("replication")["role"]
    if role != "master":
        return Finding(
            "role",
            Verdict.FAILURE,
            f"this server is a {role}, which takes no writes",
            "name the master, or hand in a client that finds it: sentinel.master_for(...)",
        )
    if patient.info("cluster").get("cluster_enabled") == "1":
        return Finding(
            "role",
            Verdict.WARNING,
            "this server is one node of a Redis Cluster, and the circuits in other slots are not on it",
            "in the app hand in a redis.RedisCluster client; here name the node of a circuit's slot",
        )
    return Finding("role", Verdict.OK, "master")


def _memory(patient: Patient) -> Finding:
    info = patient.info("memory")
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    policy = info.get("maxmemory_policy", "noeviction")
    limit_in_words = f"{limit // 1024} KiB" if limit else "no limit"
    what = f"{used // 1024} KiB used, {limit_in_words}, policy {policy}"
    if policy.startswith("allkeys"):
        return Finding(
            "memory",
            Verdict.WARNING,
            what,
            "an open circuit may be evicted, and starts closed then: CONFIG SET maxmemory-policy noeviction "
            "or volatile-lru, or give the circuits a Redis of their own",
        )
    if limit and used > FULL_PART * limit:
        return Finding(
            "memory",
            Verdict.WARNING,
            what,
            "it is nearly full, and a full Redis refuses scripts, so that each process decides by itself: "
            "raise maxmemory, or remove what else is in there",
        )
    return Finding("memory", Verdict.OK, what)


def _clock(patient: Patient) -> Finding:
    before = time.time()
    seconds, microseconds = patient.ask("TIME")
    after = time.time()
    # Where in between Redis read its clock nobody knows.
    there = int(seconds) + int(microseconds) / 1_000_000
    apart = max(before - there, there - after, 0.0)
    if apart < CLOCK_SECONDS:
        return Finding(
            "clock", Verdict.OK, f"agrees with the one here to {max(apart, after - before) * 1000:.0f} ms"
        )
    which = "behind" if there < before else "ahead"
    return Finding(
        "clock",
        Verdict.WARNING,
        f"Redis' clock is {lasting(apart)} {which} of the one here",
        "circuits go by Redis' clock alone and are not disturbed, but moments in logs and here do not fit "
        "together, and a clock that steps may lengthen an opening: run NTP on both",
    )


def _scripts(patient: Patient) -> Finding:
    try:
        patient.snapshot(patient.scratch)
    except ResponseError as error:
        advice = hint_on(error, script("snapshot")).removeprefix("; ")
        return Finding(
            "scripts", Verdict.FAILURE, f"do not run: {reason_in(error)}", advice or _ADVICE["scripts"]
        )
    try:
        # It writes nothing, and is refused as what a script writes would be.
        patient.ask("HDEL", patient.scratch.circuit, "nothing")
    except (NoPermissionError, ReadOnlyError):
        pass  # told by what is found of rights, and of the role
    except ResponseError as error:
        return Finding(
            "scripts",
            Verdict.FAILURE,
            f"run, but may not write: {reason_in(error)}",
            "until it does, each process decides by itself: look at Redis' log, disk and replicas",
        )
    return Finding("scripts", Verdict.OK, "run")


_LOOKS: dict[str, Callable[[Patient], Finding]] = {
    "version": _version,
    "role": _role,
    "memory": _memory,
    "clock": _clock,
    "scripts": _scripts,
}
