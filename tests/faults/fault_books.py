"""The clients' books of a run, together with the upstream's and Redis' own.

What one call came to is followed by its admission's token: asked for, admitted in which epoch, ended how,
reported with which answer. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from era_keeper import CircuitEra
from fault_injector import Injected
from fleet import History

ARRIVED = {"settled", "counted", "late", "repeated"}
"""What the scripts say of a batch that they have."""


@dataclass
class Ask:
    """One question to Redis whether a call may run."""

    number: int
    call: int
    token: str
    circuit: str
    sent_at: float
    verdict: str = "unanswered"
    epoch: int = 0
    answered_at: float = float("inf")


@dataclass
class Call:
    """One call of one process."""

    process: str
    number: int
    circuit: str
    began_at: float
    token: str = ""
    epoch: int = 0
    is_local: bool = False
    is_held: bool = False
    """Whether it was let through on a view of the shared circuit, and is told in a batch."""
    is_probe: bool = False
    asked_at: float = 0.0
    """When the question was sent whose answer admitted the call: its lease began no earlier."""
    outcome: str = ""
    ended_at: float = 0.0
    """When the function ended. The report was sent no earlier."""
    reports: list[tuple[str, float]] = field(default_factory=list)
    """What came of each try to report in Redis."""
    result: str = ""
    detail: str = "-"
    admit_wait: float = 0.0
    report_wait: float = 0.0
    over_at: float = 0.0
    was_rejected_by_redis: bool = False

    @property
    def is_admitted(self) -> bool:
        """Whether the function was to run."""
        return bool(self.token)


@dataclass
class Batch:
    """What a process told together: a settlement, or what it held back. Tallies in the order of TALLY_OF."""

    process: str
    circuit: str
    name: str
    counts: dict[str, int]
    sent_at: float = 0.0
    """When it was last sent."""
    verdicts: list[str] = field(default_factory=list)
    is_held: bool = False
    """Whether it was held back, and is no settlement."""
    epochs: set[int] = field(default_factory=set)
    """Of what was held back: the circuit's epochs when it was answered, which tell the era."""

    @property
    def is_answered(self) -> bool:
        """Whether Redis said that it has it."""
        return bool(ARRIVED & set(self.verdicts))


@dataclass
class Process:
    """The books of one process."""

    name: str
    calls: dict[int, Call] = field(default_factory=dict)
    asks: dict[int, Ask] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    away: list[tuple[str, float, float]] = field(default_factory=list)
    """Circuit, from, to: when it decided by itself."""
    lags: list[tuple[float, float]] = field(default_factory=list)
    """How long it was not scheduled, and until when."""
    is_killed: bool = False
    is_ended: bool = False


@dataclass
class Served:
    """One call as the upstream saw it."""

    circuit: str
    token: str
    is_probe: bool
    is_local: bool
    epoch: int
    began_at: float
    ended_at: float = float("inf")


@dataclass
class Unread:
    """What Redis said to an admission whose answer perhaps nobody read, as the network saw it."""

    verdict: str
    """``?`` where it took the question and went away."""
    epoch: int
    at: float
    is_delivered: bool
    """Whether it was the last that its connection delivered: then it was read, unless patience had ended."""


@dataclass
class Books:
    """All that is compared."""

    processes: dict[str, Process] = field(default_factory=dict)
    served: list[Served] = field(default_factory=list)
    unread: dict[str, list[Unread]] = field(default_factory=dict)
    """By token."""
    eras: list[CircuitEra] = field(default_factory=list)
    history: History = field(default_factory=History)
    injected: Injected = field(default_factory=Injected)
    staleness: float = 0.0
    """Seconds that the workers' views may be old."""
    failovers: list[tuple[float, float]] = field(default_factory=list)
    """From when to when a failover may have taken what Redis had acknowledged."""
    complaints: dict[str, str] = field(default_factory=dict)
    """What processes wrote to stderr, besides the breaker's warnings."""
    recovery_seconds: float | None = None
    """From the last fault until all circuits were closed; None if they were not in time."""

    def calls(self) -> Iterator[Call]:
        """Return all calls of all processes."""
        for process in self.processes.values():
            yield from process.calls.values()
