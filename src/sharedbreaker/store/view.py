"""A view: what a process knows of a circuit and acts on without asking, for as long as it is good."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from sharedbreaker.circuit.admission import Admission, AdmissionReading
from sharedbreaker.circuit.errors import CircuitBreakerError
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.state import CircuitMode, CircuitState

NEVER = -math.inf
"""A moment that is always over."""


class Tally:
    """A count that any thread raises with ``add()`` and without a lock. One lock around the rest."""

    __slots__ = ("_looks", "_numbers", "_taken", "add")

    def __init__(self) -> None:
        # next() on it is atomic. It tells its number only by giving the next one, so looks are counted too.
        self._numbers = itertools.count()
        self._looks = 0
        self._taken = 0
        self.add: Callable[[], int] = self._numbers.__next__

    def waiting(self) -> int:
        """Return how much was added and not taken."""
        number = next(self._numbers) - self._looks
        self._looks += 1
        return number - self._taken

    def take(self, most: float = math.inf) -> int:
        """Return how much was added and not taken, up to ``most``, and take that."""
        number = next(self._numbers) - self._looks - self._taken
        self._looks += 1
        if number > most:
            number = int(most)
        self._taken += number
        return number


class View:
    """One circuit in one epoch, with the ends of calls that were let through on it and are not told yet.

    Args:
        name: the circuit's.
        epoch: as Redis or the circuit of this process names it; empty for a view that lets nothing through.
        is_local: whether it is of the circuit that this process keeps while Redis cannot be asked.

    """

    __slots__ = (
        "_in_flight", "_name", "_rejected", "_slow", "_tallies",
        "add_rejected", "add_slow", "add_success", "asked_at", "closed_until",
        "epoch", "is_disowned", "is_local", "is_watched", "measured_until",
        "mode", "nobody", "open_until", "rejects_until", "state", "why",
    )  # fmt: skip

    def __init__(self, name: str, epoch: str = "", *, is_local: bool = False) -> None:
        self._name = name
        self.epoch = epoch
        self.is_local = is_local
        self.asked_at = NEVER
        """Monotonic moment before the question that it answers."""
        self.closed_until = NEVER
        """Monotonic moment until which calls may run on it."""
        self.measured_until = NEVER
        """The same for calls of which somebody asks how long they take: either it or the other is over."""
        self.rejects_until = NEVER
        """Monotonic moment until which calls are rejected on it."""
        self.state = CircuitState.CLOSED
        self.mode = CircuitMode.AUTOMATIC
        self.open_until: float | None = None
        """Monotonic moment that a rejection names; None where nobody knows."""
        self.why = "open"
        self.is_watched = is_local
        """Whether somebody comes by and tells what was counted here."""
        self.is_disowned = False
        """Whether it is a forked parent's, who tells all that was let through on it."""
        self.nobody = Admission("", epoch, is_local, self)
        """Stands for a call that is reported without a token, by whoever let it through."""
        self._begin_to_count()

    def _begin_to_count(self) -> None:
        self._tallies = {outcome: Tally() for outcome in Outcome}
        self._rejected = Tally()
        self._slow = Tally()
        self._in_flight: set[str] = set()
        self.add_success = self._tallies[Outcome.SUCCESS].add
        self.add_rejected = self._rejected.add
        self.add_slow = self._slow.add

    def disown(self) -> None:
        """Leave all that was let through here to the parent of this process, and count nothing that ends."""
        self.is_disowned = self.is_watched = True
        self._begin_to_count()

    def admit(self, token: str) -> AdmissionReading:
        """Let a call through that will be reported by its token."""
        self._in_flight.add(token)
        admission = Admission(token, self.epoch, self.is_local, self)
        return AdmissionReading(admission, None, self.mode, "", ())

    def end(self, token: str) -> bool:
        """Return whether the call was let through here and has not been reported yet."""
        try:
            self._in_flight.remove(token)
        except KeyError:
            return False
        return True

    def add(self, outcome: Outcome) -> None:
        """Count the end of a call that was let through here."""
        self._tallies[outcome].add()

    def refusal(self, now: float) -> CircuitBreakerError:
        """Return what a call that is rejected here and now is told."""
        wait = None if self.open_until is None else max(0.0, self.open_until - now)
        return CircuitBreakerError(self._name, self.state, wait, self.why)

    def end_now(self) -> None:
        """Let nothing be decided here any more."""
        self.closed_until = self.measured_until = self.rejects_until = NEVER

    @property
    def has_successes(self) -> bool:
        """Whether a success was counted and not taken."""
        return self._tallies[Outcome.SUCCESS].waiting() > 0

    @property
    def waiting(self) -> int:
        """How many calls were counted and not taken."""
        return sum(tally.waiting() for tally in self._tallies.values()) + self._rejected.waiting()

    def take(self) -> tuple[dict[Outcome, int], int, int]:
        """Return and take what was counted: ends of calls by outcome, rejections, and how many were slow."""
        counted: dict[Outcome, int] = {}
        for outcome, tally in self._tallies.items():
            times = tally.take()
            if times:
                counted[outcome] = times
        # Whoever adds to both adds here first, and may not have come to the other yet.
        ended = counted.get(Outcome.SUCCESS, 0) + counted.get(Outcome.FAILURE, 0)
        return counted, self._rejected.take(), self._slow.take(ended)
