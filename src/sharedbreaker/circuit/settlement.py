"""What a process decided by itself while it could not ask Redis, as ``lua/settle.lua`` takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.reading import UNDECLARED, texts


class Settlement(NamedTuple):
    """Tallies that are added once however often they are sent, under a name of their own."""

    batch: str
    away_ms: int
    outcomes: dict[Outcome, int]
    rejected: int
    unanswered_tokens: tuple[str, ...]
    """Admissions that were asked for and never answered. What they left in Redis is withdrawn."""


class SettlementReading(NamedTuple):
    """What became of a settlement."""

    verdict: str
    unreadable: tuple[str, ...]

    @property
    def is_undeclared(self) -> bool:
        """Whether there is no such circuit."""
        return self.verdict == UNDECLARED


def settlement_arguments(settlement: Settlement, who: str) -> tuple[str, ...]:
    """Return the script's arguments."""
    tally = settlement.outcomes.get
    return (
        settlement.batch,
        who,
        str(settlement.away_ms),
        str(tally(Outcome.SUCCESS, 0)),
        str(tally(Outcome.FAILURE, 0)),
        str(settlement.rejected),
        str(tally(Outcome.IGNORED, 0)),
        str(tally(Outcome.RELEASED, 0)),
        *settlement.unanswered_tokens,
    )


def read_settlement(reply: Sequence[Any]) -> SettlementReading:
    """Return what the script said."""
    verdict, *unreadable = texts(reply, 1)
    return SettlementReading(verdict, tuple(unreadable))
