"""The schedule of faults: made of a seed, and the same for the same seed and length.

Four tracks run side by side: Redis itself, the network, the workers, and people's hands. Within a track each
kind comes once in random order before any comes again, and faults of Redis never overlap each other.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fault_terms import NAMES

REDIS_KINDS = (
    "freeze_redis", "kill_redis_keep_data", "stop_redis_keep_data", "kill_redis_lose_data", "flushall",
    "script_flush", "client_kill",
)  # fmt: skip
SENTINEL_KINDS = (
    "failover", "kill_master", "freeze_redis", "script_flush", "client_kill", "failover",
)  # fmt: skip
NETWORK_KINDS = ("delay", "cut_request", "cut_reply", "swallow", "refuse", "short_delay", "late")
WORKER_KINDS = ("kill_worker", "stop_worker", "clock_jump", "fork")
HAND_KINDS = ("force_open", "force_open_for_seconds", "force_close", "disable", "enable")

QUIET_AT_END = 1.6
"""Seconds before the end in which only the upstream is out, so that recovery starts from open circuits."""
LANES = 2


@dataclass(frozen=True)
class Fault:
    """One fault: when it begins, seconds since the start; how long it lasts; whom it befalls."""

    at: float
    kind: str
    seconds: float = 0.0
    target: int = 0
    """A worker, a lane (LANES means all), or a circuit."""
    value: float = 0.0

    def __str__(self) -> str:
        return f"{self.at:6.2f} s  {self.kind} {self.target} {self.seconds:.2f} s {self.value:g}"


def make_plan(seed: int, seconds: float, workers: int, topology: str = "standalone") -> list[Fault]:
    """Return the faults of a run, in the order in which they begin."""
    dice = random.Random(f"{seed}/plan")
    ends = seconds - QUIET_AT_END
    faults: list[Fault] = []
    if topology == "sentinel":
        faults += [
            Fault(at, kind, dice.uniform(0.3, 0.9))
            for at, kind in _track(dice, SENTINEL_KINDS, 3.5, 5, ends - 3)
        ]
    else:
        for at, kind in _track(dice, REDIS_KINDS, 1.2, 2.4, ends - 1.5):
            faults.append(Fault(at, kind, dice.uniform(0.15, 1.1)))
        faults += _network(dice, ends - 1.5)
    for at, kind in _track(dice, WORKER_KINDS, 0.4, 1.2, ends):
        lasts = dice.uniform(0.2, 1.9) if kind == "stop_worker" else 0.0
        faults.append(Fault(at, kind, min(lasts, ends - at), dice.randrange(workers)))
    for at, kind in _track(dice, HAND_KINDS, 0.9, 2.2, ends - 2):
        faults.append(Fault(at, kind, dice.uniform(0.3, 1.1), dice.randrange(len(NAMES))))
    return sorted(faults, key=lambda fault: fault.at)


def _network(dice: random.Random, ends: float) -> Iterator[Fault]:
    values = {"cut_request": 0.15, "cut_reply": 0.15}
    for at, kind in _track(dice, NETWORK_KINDS, 1.0, 2.2, ends):
        value = values.get(kind, 0.0)
        if kind in {"delay", "late"}:
            value = dice.choice((0.3, 0.45, 0.7))
        elif kind == "short_delay":
            value = dice.uniform(0.01, 0.11)
        yield Fault(at, kind.removeprefix("short_"), dice.uniform(0.3, 0.9), dice.randrange(LANES + 1), value)


def _track(
    dice: random.Random, kinds: Sequence[str], shortest: float, longest: float, ends: float
) -> Iterator[tuple[float, str]]:
    """Yield moments and kinds, each kind once before any comes again."""
    at = dice.uniform(1.0, 1.0 + longest)
    while True:
        for kind in dice.sample(kinds, len(kinds)):
            if at >= ends:
                return
            yield at, kind
            at += dice.uniform(shortest, longest)
