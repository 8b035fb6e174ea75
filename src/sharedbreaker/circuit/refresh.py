"""What a process held back, and where the circuit stands, as ``lua/refresh.lua`` takes and answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.reading import UNDECLARED, text, texts
from sharedbreaker.circuit.report import milliseconds_text
from sharedbreaker.circuit.state import CircuitMode, CircuitState


class Batch(NamedTuple):
    """Ends of calls that were admitted in one epoch, told together. Counts once, however often it is told."""

    name: str
    """Never used before; empty where there is nothing to tell."""
    epoch: str
    outcomes: Mapping[Outcome, int] = MappingProxyType({})
    """How many calls ended so. A failure is the last of the batch, and there is at most one."""
    rejected: int = 0
    exception: str = ""
    """Name of the failure's type."""
    retry_after_ms: int | None = None
    """Milliseconds after which the service asked to be called again, with the failure."""
    slow: int = 0
    """How many of the successes and the failure were slow."""

    @property
    def calls(self) -> int:
        """How many calls it tells of."""
        return sum(self.outcomes.values()) + self.rejected


class RefreshReading(NamedTuple):
    """What became of a batch, and the circuit after it."""

    verdict: str
    """``counted``, ``late``, ``repeated`` or ``undeclared``, as ``lua/refresh.lua`` explains them."""
    state: CircuitState
    mode: CircuitMode
    epoch: str
    retry_after: float | None
    """Seconds that the circuit stays open, 0 where they are over; None where nobody knows.

    Of a closed circuit: 0 where each call has to ask, else None.
    """
    transition: str
    unreadable: tuple[str, ...]

    @property
    def is_undeclared(self) -> bool:
        """Whether the circuit lacks the settings to decide by."""
        return self.verdict == UNDECLARED


def refresh_arguments(batch: Batch, told: str, who: str) -> tuple[str, ...]:
    """Return the script's arguments. ``told``: an earlier batch that nobody will send again, or nothing."""
    tally = batch.outcomes.get
    return (
        batch.name,
        told,
        who,
        batch.epoch,
        str(tally(Outcome.SUCCESS, 0)),
        str(batch.rejected),
        str(tally(Outcome.IGNORED, 0)),
        str(tally(Outcome.RELEASED, 0)),
        str(tally(Outcome.FAILURE, 0)),
        batch.exception,
        milliseconds_text(batch.retry_after_ms),
        *((str(batch.slow),) if batch.slow else ()),
    )


def read_refresh(reply: Sequence[Any] | bytes | str) -> RefreshReading:
    """Return what the script said."""
    if isinstance(reply, (bytes, str)):
        epoch = text(reply)
        return RefreshReading("counted", CircuitState.CLOSED, CircuitMode.AUTOMATIC, epoch, None, "", ())
    verdict, state, mode, epoch, retry_after_ms, transition, *unreadable = texts(reply, 6)
    return RefreshReading(
        verdict,
        CircuitState(state or "closed"),
        CircuitMode(mode or "automatic"),
        epoch,
        int(retry_after_ms) / 1000 if retry_after_ms else None,
        transition,
        tuple(unreadable),
    )
