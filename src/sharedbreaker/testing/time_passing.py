"""Time that passes for one circuit at once, so that no test waits for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sharedbreaker.base_breaker import BaseBreaker
from sharedbreaker.circuit.reading import text
from sharedbreaker.circuit.settings import milliseconds_in
from sharedbreaker.circuit.state import CircuitState
from sharedbreaker.circuit.windows import SLICES
from sharedbreaker.store.keys import keys_of
from sharedbreaker.store.steps import Command
from sharedbreaker.testing.rules_store import RulesStore
from sharedbreaker.testing.states import snapshot_of

RATES = ("failure_rate", "slow_call_rate")
REPORTERS = "failure_reporters"
TEN_YEARS_MS = 315_360_000_000
"""A number that is nearer than this to Redis' clock is a moment: tallies and settings never come near."""


def elapse(breaker: BaseBreaker, seconds: float | timedelta) -> None:
    """Let time pass for the circuit of ``breaker``: openings and leases are as much nearer to their ends.

    In process, the circuit's clock goes forward, which stands still otherwise. In Redis, what is stored of
    the circuit is moved into the past: its moments, its leases, its windows (by whole tenths of them) and its
    time to live, and not the ids of its events. Do so while nobody calls. What this breaker knew without
    asking is doubted; other breakers with a ``max_staleness`` go by what they know.

    Raises:
        SettingsError: a ValueError, for a time that makes no sense.
        redis.RedisError: Redis could not be asked.

    """
    milliseconds = milliseconds_in("seconds", seconds)
    store = breaker._store  # noqa: SLF001 - one of us, here and below
    shared = store._shared  # noqa: SLF001
    if isinstance(shared, RulesStore):
        with shared._place.lock:  # noqa: SLF001
            shared._place.now_us += milliseconds * 1000  # noqa: SLF001
    else:
        _Stored(breaker).move_into_the_past(milliseconds)
    store.doubt_view()


def end_open_period(breaker: BaseBreaker) -> None:
    """Let as much time pass as the open circuit of ``breaker`` has left: the next call is its first probe.

    Raises:
        ValueError: the circuit is not open, or held open without an end.
        StoreError: Redis could not be asked.

    """
    snapshot = snapshot_of(breaker)
    if snapshot.state is not CircuitState.OPEN:
        raise ValueError(f"circuit {breaker.name!r} is {snapshot.state}: it has no open period to end")
    ends_ms = snapshot.count("open_until")
    if not ends_ms:
        raise ValueError(f"circuit {breaker.name!r} is held open without an end: force_close() ends it")
    if ends_ms > snapshot.now_ms:
        elapse(breaker, (ends_ms - snapshot.now_ms) / 1000)


class _Stored:
    """What Redis stores of one circuit."""

    def __init__(self, breaker: BaseBreaker) -> None:
        self._link = breaker._link  # noqa: SLF001
        self._keys = keys_of(breaker.name, breaker.prefix)
        self._now_ms = snapshot_of(breaker).now_ms

    def move_into_the_past(self, milliseconds: int) -> None:
        for key in self._keys.of_script:
            kind = text(self._run("TYPE", key))
            if kind == "hash":
                self._move_fields(key, milliseconds)
            elif kind == "zset":
                for member in map(text, self._run("ZRANGE", key, 0, -1)):
                    if self._is_moment(self._run("ZSCORE", key, member)):
                        self._run("ZINCRBY", key, -milliseconds, member)
            left_ms = int(self._run("PTTL", key))
            if left_ms > 0:
                self._run("PEXPIRE", key, left_ms - milliseconds)

    def _move_fields(self, key: str, milliseconds: int) -> None:
        fields = {text(field): text(self._run("HGET", key, text(field))) for field in self._run("HKEYS", key)}
        for field, value in fields.items():
            if self._is_moment(value):
                self._run("HINCRBY", key, field, -milliseconds)
            elif field == REPORTERS and value:
                latest = (reporter.rpartition("=") for reporter in value.split(" "))
                moved = (f"{who}={int(at_ms) - milliseconds}" for who, _, at_ms in latest)
                self._run("HSET", key, field, " ".join(moved))
        for rate in RATES:
            slice_ms = math.ceil(int(fields.get(f"{rate}_window_ms") or 0) / SLICES)
            if slice_ms:
                self._move_slices(key, rate, fields, milliseconds // slice_ms)

    def _move_slices(self, key: str, rate: str, fields: Mapping[str, str], by: int) -> None:
        slots = [f"{rate}:{slot}" for slot in range(SLICES)]
        kept = [fields[slot].split(" ") for slot in slots if slot in fields]
        self._run("HDEL", key, *slots)
        for number, calls, bad in kept:
            moved = int(number) - by
            self._run("HSET", key, f"{rate}:{moved % SLICES}", f"{moved} {calls} {bad}")

    def _is_moment(self, value: Any) -> bool:
        try:
            return abs(float(text(value)) - self._now_ms) < TEN_YEARS_MS
        except ValueError:
            return False

    def _run(self, *words: str | int) -> Any:
        return self._link.run(Command(words, None))
