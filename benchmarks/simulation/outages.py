"""How a service goes away: what it answers to a call while an outage lasts, and otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.simulation.traffic import PROCESSES, Call

BEGINS = 300.0
ENDS = 900.0
LASTS = 1500.0
"""Seconds of one run: five minutes in health, ten of outage, ten afterwards."""

ERRORS_IN_HEALTH = 0.005
QUICKEST, SLOWEST = 0.5, 2.0
REFUSED_AFTER = 0.2
CLIENTS_PATIENCE = 60.0
"""Seconds after which a caller gives up on a call that hangs, which is then a failure."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of a call that is made."""

    succeeds: bool
    seconds: float


@dataclass(frozen=True)
class Outage:
    """One way to be away. ``answer`` is asked with the call and the seconds since the beginning."""

    name: str
    words: str
    answer: Callable[[Call, float], Answer]
    victims: frozenset[int] = frozenset(range(PROCESSES))
    """The processes whose calls fail."""

    def answer_to(self, call: Call) -> Answer:
        """Return what becomes of a call if it is made."""
        if is_in_outage(call) and call.process in self.victims:
            return self.answer(call, call.at - BEGINS)
        return healthy(call)


def is_in_outage(call: Call) -> bool:
    """Return whether a call begins while the service is away."""
    return BEGINS <= call.at < ENDS


def healthy(call: Call) -> Answer:
    """Return the answer of a service that is well: hardly a failure."""
    return Answer(call.luck >= ERRORS_IN_HEALTH, QUICKEST + (SLOWEST - QUICKEST) * call.pace)


def refused() -> Answer:
    """Return an error that comes at once."""
    return Answer(succeeds=False, seconds=REFUSED_AFTER)


def _total(call: Call, since: float) -> Answer:
    return refused()


def _brown_out(call: Call, since: float) -> Answer:
    return refused() if call.luck < 0.3 else healthy(call)


def _hang(call: Call, since: float) -> Answer:
    return Answer(succeeds=False, seconds=CLIENTS_PATIENCE)


def _flapping(call: Call, since: float) -> Answer:
    return refused() if since % 60 < 30 else healthy(call)


OUTAGES = (
    Outage("total outage", "every call fails at once", _total),
    Outage("brown-out", "three calls in ten fail", _brown_out),
    Outage("hang", f"no call is answered, and callers give up after {CLIENTS_PATIENCE:.0f} s", _hang),
    Outage("one bad pod", "every call of one pod of four fails", _total, frozenset({0, 1})),
    Outage("flapping", "half a minute of failures, half a minute of health, and again", _flapping),
)
