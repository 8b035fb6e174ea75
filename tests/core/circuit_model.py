"""A circuit in plain Python, written from the specification: the oracle for the real one."""

from __future__ import annotations

from dataclasses import dataclass, field

from circuit_in_redis import LEASE_MS, OPEN_MS, TALLIES, TRANSITIONS
from sharedbreaker import Outcome

LONG_PROBE_MS = 2 * OPEN_MS
"""Long enough for a probe to see the next half-open period."""
TALLY_OF = {
    Outcome.SUCCESS: "successful_calls",
    Outcome.FAILURE: "failed_calls",
    Outcome.IGNORED: "ignored_calls",
    Outcome.RELEASED: "released_calls",
}


@dataclass
class Lease:
    """One call under way: the era it was admitted in, and how long it stays on the books."""

    era: int
    is_probe: bool
    left_ms: int


@dataclass
class Model:
    failure_threshold: int
    success_threshold: int
    half_open_max_calls: int
    state: str = "closed"
    mode: str = "automatic"
    era: int = 0
    failure_count: int = 0
    success_count: int = 0
    open_left_ms: int | None = None
    """What is left of the open period or of a hold; None is without end."""
    leases: dict[str, Lease] = field(default_factory=dict)
    tallies: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TALLIES, 0))
    transitions: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TRANSITIONS, 0))

    def _move(self, to: str, open_ms: int | None = None) -> None:
        self.transitions[f"{self.state}_to_{to}"] += 1
        self.state = to
        self.era += 1
        self.success_count = 0
        self.open_left_ms = open_ms
        if to == "closed":
            self.failure_count = 0

    def elapse(self, milliseconds: int) -> None:
        if self.open_left_ms is not None:
            self.open_left_ms -= milliseconds
        for lease in self.leases.values():
            lease.left_ms -= milliseconds

    def alive(self) -> dict[str, Lease]:
        """The calls whose leases have not run out."""
        return {token: lease for token, lease in self.leases.items() if lease.left_ms > 0}

    def probes(self) -> int:
        """Probes under way, those of earlier half-open periods included."""
        return sum(lease.is_probe for lease in self.alive().values())

    def reclaim(self) -> None:
        alive = self.alive()
        self.tallies["lost_calls"] += len(self.leases) - len(alive)
        self.leases = alive

    def admit(self) -> str:
        """Return what becomes of a call: admitted, probe or rejected."""
        self.reclaim()
        if self.state == "closed":
            return "admitted"
        is_over = self.state == "half_open" or (self.open_left_ms is not None and self.open_left_ms <= 0)
        if not is_over or self.probes() >= self.half_open_max_calls:
            self.tallies["rejected_calls"] += 1
            return "rejected"
        if self.state == "open":
            self._move("half_open")
            self.mode = "automatic"
        return "probe"

    def began(self, token: str, verdict: str) -> None:
        is_probe = verdict == "probe"
        self.leases[token] = Lease(self.era, is_probe, LONG_PROBE_MS if is_probe else LEASE_MS)

    def report(self, token: str, outcome: Outcome) -> None:
        self.reclaim()
        lease = self.leases.pop(token, None)
        if lease is None:
            return
        self.tallies[TALLY_OF[outcome]] += 1
        if lease.era != self.era:
            self.tallies["late_results"] += 1
        elif self.state == "half_open":
            self._end_of_a_probe(outcome)
        elif self.mode == "automatic":
            self._end_in_closed(outcome)

    def _end_of_a_probe(self, outcome: Outcome) -> None:
        if outcome is Outcome.FAILURE:
            self._move("open", OPEN_MS)
        elif outcome is Outcome.SUCCESS:
            self.success_count += 1
            if self.success_count >= self.success_threshold:
                self._move("closed")

    def _end_in_closed(self, outcome: Outcome) -> None:
        if outcome is Outcome.SUCCESS:
            self.failure_count = 0
        elif outcome is Outcome.FAILURE:
            self.failure_count += 1
            if self.failure_count >= self.failure_threshold:
                self._move("open", OPEN_MS)

    def force_open(self, hold_ms: int | None) -> None:
        self.reclaim()
        self.mode = "held_open"
        if self.state != "open":
            self._move("open")
        self.open_left_ms = hold_ms

    def close_by_hand(self, mode: str) -> None:
        """force_close, disable, and enable of a circuit that is disabled."""
        self.reclaim()
        self.mode = mode
        self.failure_count = 0
        if self.state != "closed":
            self._move("closed")

    def enable(self) -> None:
        self.reclaim()
        if self.mode == "disabled":
            self.close_by_hand("automatic")
