"""The circuits: what is left over, whom nobody lists, whose settings go to and fro, what lasts too long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from redis.exceptions import ResponseError

from sharedbreaker.circuit.history import Event, read_history
from sharedbreaker.circuit.name import check_name
from sharedbreaker.circuit.reading import text
from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.snapshot import Snapshot, read_snapshot
from sharedbreaker.circuit.state import CircuitMode, CircuitState
from sharedbreaker.cli.examination.finding import Finding, Verdict
from sharedbreaker.cli.examination.patient import SCRATCH, Patient, reason_in
from sharedbreaker.cli.moments import lasting
from sharedbreaker.store.keys import Keys, keys_of

MOST_SCANS = 2_000
KEYS_A_SCAN = 1_000
EVENTS_LOOKED_AT = 200
LONG_HOLD_SECONDS = 86_400.0
PARTS = ("leases", "events", "batches")
_DEFAULTS = Settings()


@dataclass
class Kept:
    """What Redis has under the prefix."""

    listed: set[str] = field(default_factory=set)
    hashes: set[str] = field(default_factory=set)
    parts: dict[str, set[str]] = field(default_factory=dict)
    """For each name the other keys that are there."""
    is_whole: bool = True


def examine_circuits(patient: Patient) -> Iterator[Finding]:
    """Look at every circuit, and at what none belongs to."""
    kept = Kept()
    registry = keys_of(SCRATCH, patient.prefix).registry
    try:
        kept.listed = {text(name) for name in patient.ask("SMEMBERS", registry)}
    except ResponseError as error:
        yield Finding(
            "list",
            Verdict.FAILURE,
            f"{registry!r} cannot be read: {reason_in(error)}",
            "let this user run SMEMBERS (+smembers), or remove what is in the place of the set",
        )
        return
    yield Finding("list", Verdict.OK, f"{len(kept.listed)} circuits in {registry!r}")
    try:
        _scan(patient, kept)
    except ResponseError as error:
        yield Finding(
            "leftovers",
            Verdict.UNKNOWN,
            f"could not be looked for: {reason_in(error)}",
            "let this user run SCAN (+scan)",
        )
    else:
        yield from _leftovers(patient, kept)
    for name in sorted(kept.listed | kept.hashes):
        yield from _examine_circuit(patient, name)


def _scan(patient: Patient, kept: Kept) -> None:
    cursor = "0"
    for _ in range(MOST_SCANS):
        answer = patient.ask("SCAN", cursor, "MATCH", f"{patient.prefix}:{{*", "COUNT", KEYS_A_SCAN)
        cursor = text(answer[0])
        for key in map(text, answer[1]):
            name, closed, rest = key.removeprefix(f"{patient.prefix}:{{").partition("}")
            if not closed or name == SCRATCH:
                continue
            if not rest:
                kept.hashes.add(name)
            elif rest[1:] in PARTS:
                kept.parts.setdefault(name, set()).add(rest[1:])
        if cursor == "0":
            return
    kept.is_whole = False


def _leftovers(patient: Patient, kept: Kept) -> Iterator[Finding]:
    here = "" if patient.prefix == "sharedbreaker" else f" --prefix {patient.prefix}"
    found = False
    if kept.is_whole:
        for name in sorted(kept.listed - kept.hashes):
            found = True
            yield Finding(
                "leftovers",
                Verdict.WARNING,
                f"{name!r} is in the list, and there is no such circuit",
                f"sharedbreaker forget{here} {name}",
            )
        for name in sorted(kept.parts.keys() - kept.hashes - kept.listed):
            found = True
            yield Finding(
                "leftovers",
                Verdict.WARNING,
                f"there is no circuit {name!r}, but its {', '.join(sorted(kept.parts[name]))}",
                f"sharedbreaker forget{here} {name}",
            )
    else:
        yield Finding("leftovers", Verdict.UNKNOWN, "this Redis has too many keys to look at all of them")
        found = True
    for name in sorted(kept.hashes - kept.listed):
        found = True
        yield Finding(
            "leftovers",
            Verdict.WARNING,
            f"circuit {name!r} is not in the list, so nobody who looks finds it",
            f"redis-cli SADD {patient.prefix}:breakers {name}, and let the app's user run SADD (+sadd)",
        )
    if not found:
        yield Finding("leftovers", Verdict.OK, "none")


def _examine_circuit(patient: Patient, name: str) -> Iterator[Finding]:
    check = f"circuit {name}"
    try:
        keys = keys_of(check_name("name", name), patient.prefix)
        reply = patient.snapshot(keys)
        if not reply[-1]:
            return
        circuit = read_snapshot(reply, name, _DEFAULTS)
        history = read_history(patient.ask("XREVRANGE", keys.events, "+", "-", "COUNT", EVENTS_LOOKED_AT))
    except (ResponseError, ValueError, TypeError) as error:
        yield Finding(
            check,
            Verdict.FAILURE,
            f"cannot be read: {reason_in(error)}",
            "its processes decide by themselves; if a key holds something else, DEL removes it",
        )
        return
    findings = [
        *_unreadable(circuit, _fields_in(reply)),
        *_drift(history),
        *_lasting(circuit),
        *_leases(patient, keys, circuit),
    ]
    yield from (Finding(check, *finding) for finding in findings or [(Verdict.OK, "well", "")])


_Found = Iterator[tuple[Verdict, str, str]]


def _fields_in(reply: list[list[bytes]]) -> dict[str, str]:
    flat = [text(word) for word in reply[-1]]
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _unreadable(circuit: Snapshot, fields: Mapping[str, str]) -> _Found:
    wrong = [
        name
        for name, value in (("state", circuit.state), ("mode", circuit.mode))
        if fields.get(name) != value
    ]
    wrong += [name for name in _DEFAULTS.fields() if not fields.get(name, "").isdigit()]
    if wrong:
        yield (
            Verdict.WARNING,
            f"fields that no script wrote: {', '.join(wrong)}",
            "the next call puts them right; look for who writes to this hash",
        )


def _drift(history: tuple[Event, ...]) -> _Found:
    """Find settings that were declared, declared otherwise, and then as at first again."""
    declared: dict[str, list[tuple[str, str]]] = {}
    for event in reversed(history):
        if event.why == "declared":
            for change in event.details.get("settings", "").split():
                setting, _, value = change.removeprefix("declared:").partition("=")
                declared.setdefault(setting, []).append((value, event.who))
    for setting, all_of_it in declared.items():
        values = [value for value, _ in all_of_it]
        if len(values) > len(set(values)):
            latest = " and ".join(f"{value} by {who}" for value, who in all_of_it[-2:])
            yield (
                Verdict.WARNING,
                f"{setting} goes to and fro: {latest} last, declared {len(values)} times in all",
                "two configurations are at work: let all processes declare the same, or tune one",
            )


def _lasting(circuit: Snapshot) -> _Found:
    now = circuit.now_ms / 1000
    held_at = circuit.seconds("held_at")
    if circuit.mode is not CircuitMode.AUTOMATIC and held_at and now - held_at > LONG_HOLD_SECONDS:
        who = circuit.fields.get("held_by", "?")
        verb = "close" if circuit.mode is CircuitMode.HELD_OPEN else "enable"
        yield (
            Verdict.WARNING,
            f"{circuit.mode.value.replace('_', ' ')} by {who} for {lasting(now - held_at)}",
            f"ask {who}, or: sharedbreaker {verb} {circuit.name}",
        )
    if circuit.tuned:
        by = circuit.fields.get("tuned_by", "?")
        yield (
            Verdict.NOTE,
            f"{', '.join(tuned.field for tuned in circuit.tuned)} tuned by {by}, over what is declared",
            f"when it has served: sharedbreaker tune {circuit.name} --clear-all",
        )
    changed = circuit.seconds("last_state_change")
    longest = 3 * circuit.count("probe_timeout_ms") / 1000
    if circuit.state is CircuitState.HALF_OPEN and changed and now - changed > longest:
        yield (
            Verdict.NOTE,
            f"half-open for {lasting(now - changed)}: probes are lost, or nobody calls",
            "look whether the processes that call it live, and whether calls outlast probe_timeout",
        )


def _leases(patient: Patient, keys: Keys, circuit: Snapshot) -> _Found:
    over = int(patient.ask("ZCOUNT", keys.leases, "-inf", circuit.now_ms))
    if over:
        yield (
            Verdict.NOTE,
            f"{over} calls never reported, and their leases are over: their processes were killed or hung",
            "the next call counts them as lost; lease_timeout should be longer than the longest call",
        )
