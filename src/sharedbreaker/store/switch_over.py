"""One circuit wherever it can be had: in Redis, and in this process for as long as Redis cannot be asked.

The shared state wins: what this process decided by itself ends with the first answer, and what it tallied
meanwhile is added to the hash once.
"""

from __future__ import annotations

import dataclasses
import sys
from datetime import timedelta
from time import monotonic
from typing import Any

from sharedbreaker.circuit.admission import Admission, AdmissionReading
from sharedbreaker.circuit.control import Act, ControlReading
from sharedbreaker.circuit.errors import CircuitBreakerError, StoreError
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.report import Report, exception_name
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.circuit.state import CircuitMode, CircuitState
from sharedbreaker.store.process import this_process
from sharedbreaker.store.steps import Steps
from sharedbreaker.store.viewing import ViewingStore


class SwitchOverStore(ViewingStore):
    """One circuit, as one process sees it."""

    def admit(self, token: str) -> Steps[AdmissionReading]:
        """Answer whether the call named ``token`` may run. Never raises StoreError."""
        return self._measured((yield from self._admit(token)))

    def admit_begun(self, token: str) -> Steps[AdmissionReading]:
        """Answer the same where the first command may have been sent: it is the script's, with this token."""
        return self._measured((yield from self._admit_begun(token)))

    def _measured(self, reading: AdmissionReading) -> AdmissionReading:
        """Have a call's time run from now, where somebody asks for that."""
        if self._slow_ms is None or reading.admission is None:
            return reading
        return reading._replace(admission=reading.admission._replace(began=monotonic()))

    def _admit(self, token: str) -> Steps[AdmissionReading]:
        reading = self._admit_on_view(token)
        if reading is not None:
            return reading
        if self._may_ask():
            is_closed = self._last_known.state is CircuitState.CLOSED
            if self._max_staleness and is_closed and not self._asks_each:
                # What answers for all calls of the next moments is asked for by one of them.
                if (yield from self._refresh()) is None:
                    return self._admit_alone(token)
                reading = self._admit_on_view(token)
                if reading is not None:
                    return reading
            if self._may_owe and not self._is_away():
                try:
                    yield from self._clear_places()
                except StoreError as error:
                    self._lost(error)
                    return self._admit_alone(token)
            return (yield from self._admit_begun(token))
        return self._admit_alone(token)

    def _admit_begun(self, token: str) -> Steps[AdmissionReading]:
        reading = yield from self._admit_in_redis(token)
        # What was withdrawn is not used again.
        return reading or self._admit_alone(this_process().new_token())

    @property
    def asks_usually(self) -> bool:
        """Whether a call may ask by the usual case now."""
        # While the interpreter is leaving no thread can be started, and to connect takes one.
        return self.is_usual and not sys.is_finalizing()

    def take_usual(self, reply: Any, token: str) -> Admission | None:
        """Return the admission that a short answer gives, or raise its refusal; None where it says more."""
        usual = self.usual_case.read_admission(reply, token)
        known = self._last_known
        if isinstance(usual, CircuitBreakerError):
            known.remember_refusal(usual)
            raise usual
        if usual is not None and (
            known.state is not CircuitState.CLOSED or known.mode is not CircuitMode.AUTOMATIC
        ):
            known.remember_closed()
        if self._slow_ms is not None and usual is not None:
            return usual._replace(began=monotonic())
        return usual

    def usual_report(
        self, admission: Admission, outcome: Outcome, error: BaseException | None, retry_after: float | None
    ) -> bytes | None:
        """Return the usual message that a call has ended; None where there is more to say."""
        is_shared = admission.view is None and not admission.is_local and not admission.began
        if not (is_shared and retry_after is None and self.asks_usually):
            return None
        return self.usual_case.report(admission, outcome, exception_name(error))

    def report(self, report: Report) -> Steps[str]:
        """Tell how an admitted call ended; return the transition that it caused, or an empty text.

        Never raises StoreError: what Redis cannot be told now, it is told later.
        """
        admission = report.admission
        if admission.view is not None:
            if not admission.view.end(admission.token):
                return ""
            return (yield from self.report_on_view(admission.view, report))
        if admission.is_local:
            return self._report_alone(report)
        if self._may_ask():
            return (yield from self.report_begun(report))
        return self._learn_alone(report)

    def report_begun(self, report: Report) -> Steps[str]:
        """Tell the same where the first command may have been sent: it is the script's, with this report."""
        try:
            reading = yield from self._shared.report(report)
        except StoreError as error:
            self._lost(error)
            return self._learn_alone(report)
        except BaseException:  # interrupted while it waited: whether Redis was told, nobody knows
            self.report_later(report)
            raise
        self._moved(reading.transition)
        if reading.transition:
            self.announcer.announce(reading.transition, report.exception)
        self._answered()
        return reading.transition

    def report_later(self, report: Report) -> None:
        """Have a thread tell how an admitted call ended, since whoever made it cannot wait for an answer."""
        admission = report.admission
        if admission.view is not None:
            if admission.view.end(admission.token):
                admission.view.add(report.outcome)
                self.look_after(admission.view)
        elif admission.is_local:
            self._report_alone(report)
        else:
            with self._lock:
                self._books.reports.append(report)
                self._owe()
            self._settle_soon()

    def control(
        self, act: Act, who: str | None, reason: str | None, seconds: float | timedelta | None
    ) -> Steps[ControlReading]:
        """Take the circuit in hand, or let it go; raise StoreError without Redis, and change nothing here."""
        try:
            reading = yield from self._shared.control(act, who, reason, seconds)
        except StoreError as error:
            self._lost(error)
            raise type(error)(
                f"{error}. No answer says that {act} was carried out. It needs Redis, because it speaks to "
                "the whole fleet: try again when Redis answers. Until then each process decides by itself."
            ) from error
        self._last_known.remember_act(act, seconds)
        self.announcer.announce(reading.transition)
        self.doubt_view()
        self._answered()
        return reading

    def snapshot(self) -> Steps[Snapshot]:
        """Look at the shared circuit; raise StoreError, at once if Redis is known to be away, without it."""
        if not self._may_ask():
            raise StoreError(
                f"circuit {self._name!r}: Redis could not be asked a moment ago; it is tried again every "
                f"{self._guard.retry_interval:g} s"
            )
        try:
            snapshot = yield from self._shared.snapshot()
        except StoreError as error:
            self._lost(error)
            raise
        return self.complete(snapshot)

    def complete(self, snapshot: Snapshot) -> Snapshot:
        """Return what Redis said of the circuit just now, with what this process knows besides."""
        if (snapshot.state, snapshot.mode) != (self.view.state, self.view.mode):
            self.doubt_view()
        # Redis may answer what only reads, and take no call: then this process still decides by itself.
        if self._may_owe:
            self._settle_soon()
        is_alone, unwritten = self._whereabouts()
        if not is_alone and not unwritten:
            return snapshot
        return dataclasses.replace(snapshot, redis_available=not is_alone, unwritten_calls=unwritten)

    def snapshot_alone(self) -> Snapshot:
        """Look at what this process decides by, while Redis cannot be asked."""
        with self._lock:
            snapshot = self._alone.snapshot(self.view)
        return dataclasses.replace(snapshot, redis_available=False, unwritten_calls=self._whereabouts()[1])

    def _clear_places(self) -> Steps[None]:
        """Have Redis know of the places that were given up here, before a call asks whether one is free.

        A thread is about to tell it, and the question would overtake that thread.
        """
        while True:
            with self._lock:
                report = self._books.next_report(self._keeps_place)
            if report is None:
                break
            yield from self._tell(report)
        with self._lock:
            settlement = (
                self._books.next_settlement(this_process().new_token) if self._books.is_place_owed else None
            )
        if settlement is not None:
            yield from self._shared.settle(settlement)
            with self._lock:
                self._books.confirm(settlement)

    def _keeps_place(self, report: Report) -> bool:
        """Whether another call may be rejected until Redis is told."""
        is_counted = bool(self._settings.max_in_flight) and report.outcome is Outcome.RELEASED
        return is_counted or report.admission.is_probe

    def _admit_in_redis(self, token: str) -> Steps[AdmissionReading | None]:
        """Ask; None where there is no answer."""
        asked_at = monotonic()
        try:
            reading = yield from self._shared.admit(token)
        except BaseException as error:  # also a caller that is interrupted, and will never report
            with self._lock:
                self._books.withdraw(token)
                self._owe()
            if not isinstance(error, StoreError):
                self._settle_soon()
                raise
            self._lost(error)
            return None
        self._last_known.remember(reading)
        self.announcer.announce(reading.transition)
        if self._max_staleness:
            self._see_admission(asked_at, reading)
        self._answered()
        return reading

    def _admit_alone(self, token: str) -> AdmissionReading:
        self._go_alone()
        with self._lock:
            self._owe()
            self._look_alone()
            return self._alone.admit(self.view, token)

    def _report_alone(self, report: Report) -> str:
        with self._lock:
            moved = self._alone.report(report)
            self._owe()
            self._look_alone()
        if not self._is_away():
            self._settle_soon()
        return moved

    def _learn_alone(self, report: Report) -> str:
        """Keep for later what Redis cannot be told now, and go by it until then."""
        self._go_alone()
        with self._lock:
            self._books.reports.append(report)
            self._owe()
            return self._learn(report)
