"""The rights of the user that is logged in: asked for by ACL DRYRUN, or tried where there is none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from redis.exceptions import NoPermissionError, ResponseError

from sharedbreaker.circuit.reading import text
from sharedbreaker.cli.examination.finding import Finding, Verdict
from sharedbreaker.cli.examination.patient import Patient

NEEDED_BY = {"a breaker": (), "whoever looks": ("SMEMBERS",), "`forget`": ("DEL", "EXISTS", "SREM")}
_DENIED = ("no permissions", "NOPERM")


def trials(patient: Patient) -> dict[str, tuple[str | int, ...]]:
    """Return each command that is needed, in a form that harms nothing: on keys that belong to no circuit.

    Those that make keys come first, and those that remove them last.
    """
    keys = patient.scratch
    circuit, leases, events = keys.circuit, keys.leases, keys.events
    return {
        "EVALSHA": ("EVALSHA", "0" * 40, 1, circuit),
        "EVAL": ("EVAL", "return 1", 1, circuit),
        "TIME": ("TIME",),
        "HSET": ("HSET", circuit, "tried", "1"),
        "HSETNX": ("HSETNX", circuit, "tried", "1"),
        "HINCRBY": ("HINCRBY", circuit, "tried", 1),
        "HGET": ("HGET", circuit, "tried"),
        "HMGET": ("HMGET", circuit, "tried"),
        "HGETALL": ("HGETALL", circuit),
        "HDEL": ("HDEL", circuit, "nothing"),
        "ZADD": ("ZADD", leases, 1, "tried"),
        "ZSCORE": ("ZSCORE", leases, "tried"),
        "ZCOUNT": ("ZCOUNT", leases, "-inf", "+inf"),
        "ZRANGE": ("ZRANGE", leases, 0, 0),
        "ZREM": ("ZREM", leases, "nothing"),
        "ZREMRANGEBYSCORE": ("ZREMRANGEBYSCORE", leases, "-inf", "+inf"),
        "XADD": ("XADD", events, "MAXLEN", 1, "*", "tried", "1"),
        "XREVRANGE": ("XREVRANGE", events, "+", "-", "COUNT", 1),
        "SADD": ("SADD", circuit + ":tried", "tried"),
        "SMEMBERS": ("SMEMBERS", circuit + ":tried"),
        "EXISTS": ("EXISTS", circuit),
        "PERSIST": ("PERSIST", circuit),
        "SREM": ("SREM", circuit + ":tried", "tried"),
        "PEXPIRE": ("PEXPIRE", circuit, 1),
        "DEL": ("DEL", circuit, leases, events, circuit + ":tried"),
    }


def examine_rights(patient: Patient) -> Iterator[Finding]:
    """Say which of the commands that are needed are denied."""
    user = _name_of_user(patient)
    who = "this user" if user is None else f"user {user!r}"
    try:
        how, denied = "by ACL DRYRUN", _denied_by_dry_run(patient, user)
    except ResponseError:
        how, denied = "by trying", _denied_by_trying(patient)
    needed = set(trials(patient))
    for what, commands in NEEDED_BY.items():
        others = {command for beside in NEEDED_BY.values() if beside is not commands for command in beside}
        lacking = sorted(denied & (set(commands) if commands else needed - others))
        if not lacking:
            yield Finding("rights", Verdict.OK, f"{who} may do what {what} needs ({how})")
            continue
        # A user of its own for each purpose is good practice, and lacks what the other does.
        verdict = Verdict.FAILURE if not commands else Verdict.NOTE
        words = " ".join(f"+{command.lower()}" for command in lacking)
        yield Finding(
            "rights",
            verdict,
            f"{who} may not run what {what} needs: {', '.join(lacking)} ({how})",
            f"ACL SETUSER {user or 'USER'} {words} ~{patient.prefix}:*",
        )


def _name_of_user(patient: Patient) -> str | None:
    with contextlib.suppress(ResponseError):
        return text(patient.ask("ACL", "WHOAMI"))
    return None


def _denied_by_dry_run(patient: Patient, user: str | None) -> set[str]:
    if user is None:
        raise ResponseError("nobody knows who this is")
    return {
        name
        for name, words in trials(patient).items()
        if _is_denial(text(patient.ask("ACL", "DRYRUN", user, *words)))
    }


def _denied_by_trying(patient: Patient) -> set[str]:
    denied = {name for name, words in trials(patient).items() if _is_denied(patient, words)}
    if "DEL" in denied:
        # What was made ends by itself.
        for key in (*patient.scratch.of_script, patient.scratch.circuit + ":tried"):
            with contextlib.suppress(ResponseError):
                patient.ask("PEXPIRE", key, 1)
    return denied


def _is_denied(patient: Patient, words: tuple[str | int, ...]) -> bool:
    try:
        patient.ask(*words)
    except NoPermissionError:
        return True
    except ResponseError as error:
        return _is_denial(str(error))
    return False


def _is_denial(answer: str) -> bool:
    return any(sign in answer for sign in _DENIED)
