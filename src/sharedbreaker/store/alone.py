"""A process on its own: how it decides, and what it comes to owe, while Redis cannot be asked."""

from __future__ import annotations

from time import monotonic
from typing import Literal

from sharedbreaker.circuit.admission import Admission, AdmissionReading
from sharedbreaker.circuit.errors import CircuitBreakerError
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.refresh import Batch
from sharedbreaker.circuit.report import Report
from sharedbreaker.circuit.rules import Circuit
from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.circuit.state import CircuitMode, CircuitState
from sharedbreaker.store.books import Books
from sharedbreaker.store.clock import now_us
from sharedbreaker.store.last_known import LastKnown
from sharedbreaker.store.process import this_process
from sharedbreaker.store.view import NEVER, View

OnRedisError = Literal["local", "allow", "reject"]
SAME_BATCH = "view"


class Alone:
    """One circuit's time without Redis in one process. One lock around it is the caller's business.

    Args:
        books: what the process owes Redis.
        last_known: where its own circuit begins.
        on_redis_error: decide by the same rules, allow, or reject.

    """

    def __init__(
        self, name: str, settings: Settings, books: Books, last_known: LastKnown, on_redis_error: OnRedisError
    ) -> None:
        self._name = name
        self._settings = settings
        self._books = books
        self._last_known = last_known
        self._on_redis_error = on_redis_error
        self._circuit: Circuit | None = None
        self.since_us: int | None = None
        """When it lost Redis; None while it has it."""

    @property
    def on_redis_error(self) -> OnRedisError:
        """What to do. A circuit that only observes rejects nothing."""
        observes = self._settings.observe or self._last_known.mode is CircuitMode.OBSERVE
        return "local" if observes and self._on_redis_error == "reject" else self._on_redis_error

    def circuit(self) -> Circuit:
        """Return this process' own circuit, begun from the last that was known of the shared one.

        It lasts until Redis is back. Who only wants to look, or was overtaken by its return, gets one to
        throw away.
        """
        if self._circuit is not None:
            return self._circuit
        circuit = Circuit(self._name, self._settings.fields(), now_us())
        self._last_known.begin(circuit)
        if self.since_us is not None:
            self._circuit = circuit
        return circuit

    def come_back(self) -> int:
        """Forget the own circuit, since the shared one counts again; return microseconds without it."""
        since_us = self.since_us
        self.since_us = self._circuit = None
        return 0 if since_us is None else now_us() - since_us

    def look(self, view: View, until: float) -> View:
        """Return what calls may be decided on until the monotonic moment ``until``: ``view`` if still so."""
        epoch = ""
        on_redis_error = self.on_redis_error
        asks_each = False
        state, mode, open_until, why = CircuitState.CLOSED, CircuitMode.AUTOMATIC, None, "open"
        if on_redis_error == "reject":
            state, mode, why = self._last_known.state, self._last_known.mode, "redis_away"
            open_until = until
        elif on_redis_error == "local":
            circuit = self.circuit()
            asks_each = circuit.asks_each(now_us() // 1000)
            epoch, state, mode = str(circuit.epoch), circuit.state, circuit.mode
            if circuit.open_until is not None:
                open_until = monotonic() + (circuit.open_until * 1000 - now_us()) / 1_000_000
            if mode is CircuitMode.HELD_OPEN:
                why = "held_open"
        if not view.is_local or view.epoch != epoch or view.why != why:
            view = View(self._name, epoch, is_local=True)
        view.state, view.mode, view.open_until, view.why = state, mode, open_until, why
        view.closed_until = view.rejects_until = NEVER
        if asks_each:
            return view
        if why == "redis_away" or state is CircuitState.OPEN:
            view.rejects_until = until if open_until is None else min(until, open_until)
        elif state is CircuitState.CLOSED:
            view.closed_until = until
        return view

    def take(self, view: View) -> None:
        """Take what ``view`` counted into the books, and let it decide."""
        outcomes, rejected, _ = view.take()
        if outcomes or rejected:
            self._count(Batch(SAME_BATCH, view.epoch, outcomes, rejected))

    def fail(self, view: View, report: Report) -> str:
        """Take note of a failure of a call that ran on ``view``; return the transition, or an empty text."""
        if view.has_successes:
            # They came first, and a failure after them is the first in a row.
            self.take(view)
        circuit = self._circuit
        self._books.count(Outcome.FAILURE)
        return "" if circuit is None else circuit.fail(now_us(), view.epoch, report, this_process().who)

    def admit(self, view: View, token: str) -> AdmissionReading:
        """Answer whether a call may run: by ``view``, or where it decides nothing by the rules themselves."""
        now = monotonic()
        if view.is_local and now < view.closed_until:
            return view.admit(token)
        if view.is_local and now < view.rejects_until:
            view.add_rejected()
            return AdmissionReading(None, view.refusal(now), view.mode, "", ())
        on_redis_error = self.on_redis_error
        if on_redis_error == "allow":
            return AdmissionReading(_ALLOWED, None, CircuitMode.AUTOMATIC, "", ())
        if on_redis_error == "reject":
            self._books.count_rejected()
            refusal = CircuitBreakerError(self._name, self._last_known.state, 0.0, "redis_away")
            return AdmissionReading(None, refusal, self._last_known.mode, "", ())
        self.take(view)
        process = this_process()
        reading = self.circuit().admit(now_us(), token, process.who)
        if reading.admission is None:
            self._books.count_rejected()
            return reading
        admission = reading.admission._replace(is_local=True)
        return reading._replace(admission=admission)

    def report(self, report: Report) -> str:
        """Take note of the end of such a call; return the transition, or an empty text."""
        self._books.count(report.outcome)
        if self._circuit is None:
            return ""
        return self._circuit.report(now_us(), report, this_process().who).transition

    def learn(self, report: Report) -> str:
        """Let the end of a call decide that Redis admitted, and tally nothing."""
        return self.circuit().learn(now_us(), report, this_process().who)

    def snapshot(self, view: View) -> Snapshot:
        """Look at what this process decides by."""
        if view.is_local:
            self.take(view)
        return self.circuit().snapshot(now_us())

    def _count(self, batch: Batch) -> str:
        for outcome, times in batch.outcomes.items():
            self._books.count(outcome, times)
        if batch.rejected:
            self._books.count_rejected(batch.rejected)
        if self._circuit is None:
            return ""
        return self._circuit.refresh(now_us(), batch, SAME_BATCH, this_process().who).transition


_ALLOWED = Admission("", "", is_local=True)
