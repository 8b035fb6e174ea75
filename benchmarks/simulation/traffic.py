"""Who calls when: a fleet whose callers know nothing of each other."""

from __future__ import annotations

import random
from dataclasses import dataclass

PODS = 4
PROCESSES_PER_POD = 2
PROCESSES = PODS * PROCESSES_PER_POD

CALLS_PER_MINUTE = (1, 10, 1000)
"""Of the whole fleet."""
RUNS = {1: 100, 10: 30, 1000: 2}
"""How many seeds make a figure. Little traffic is a matter of chance, much of it hardly."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call as fate has it, whatever rule decides about it."""

    at: float
    """Seconds since the beginning."""
    process: int
    luck: float
    """From 0 to 1: whether it fails where some calls fail."""
    pace: float
    """From 0 to 1: how long it takes among its kind."""

    @property
    def pod(self) -> int:
        """The pod that its process runs in."""
        return self.process // PROCESSES_PER_POD


def calls_of(calls_per_minute: float, seconds: float, seed: int) -> list[Call]:
    """Return the calls of one run, in their order. The same seed gives the same calls."""
    fate = random.Random(f"{calls_per_minute} {seed}")
    calls = []
    at = 0.0
    while (at := at + fate.expovariate(calls_per_minute / 60)) < seconds:
        calls.append(Call(at, fate.randrange(PROCESSES), fate.random(), fate.random()))
    return calls
