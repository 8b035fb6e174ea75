"""Acting on a view of one circuit: what it is good for, what is counted on it, and when that is told."""

from __future__ import annotations

import sys
from time import monotonic
from typing import NamedTuple

from sharedbreaker.circuit.admission import AdmissionReading, refused_because
from sharedbreaker.circuit.errors import CircuitBreakerError, StoreError
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.refresh import Batch, RefreshReading
from sharedbreaker.circuit.report import Report
from sharedbreaker.circuit.state import CircuitMode, CircuitState
from sharedbreaker.store.clock import now_us
from sharedbreaker.store.keeper import keeper
from sharedbreaker.store.process import this_process
from sharedbreaker.store.settling import SettlingStore, make_sure_to_tell_at_exit
from sharedbreaker.store.steps import Steps, walk
from sharedbreaker.store.view import NEVER, View

PART_OF_STALENESS = 0.75
"""How much of a view's time passes before a thread renews it, so that no call has to."""


class Telling(NamedTuple):
    """Something that is being told, and asks where the circuit stands."""

    batch: Batch
    told: str
    """An earlier batch that is not told again."""
    asked_at: float
    """Monotonic moment before the question."""


class ViewingStore(SettlingStore):
    """One circuit, as one process sees it: what it knows without asking."""

    def report_on_view(self, view: View, report: Report) -> Steps[str]:
        """Tell how a call ended that ran on ``view``. Only a failure is told at once."""
        if view.is_disowned:
            return ""
        if report.outcome is not Outcome.FAILURE:
            if report.outcome is Outcome.SUCCESS and self._is_slow(report):
                view.add_slow()
            self.count_on_view(view, report.outcome)
            return ""
        if view.is_local:
            return self.fail_alone(view, report)
        telling = self.begin_to_tell(view, report)
        if self._may_ask():
            return (yield from self.fail_begun(report, telling))
        with self._lock:
            self._held_back.failed(telling.batch)
            self._owe()
        return self._go_by(report)

    def count_on_view(self, view: View, outcome: Outcome) -> None:
        """Count the end of a call that ran on ``view`` and did not fail."""
        view.add(outcome)
        if not view.is_watched:
            self.look_after(view)

    def reject_on_view(self, view: View, now: float) -> CircuitBreakerError:
        """Count a rejection on ``view``; return what the call is told."""
        view.add_rejected()
        if not view.is_watched:
            self.look_after(view)
        return view.refusal(now)

    def fail_alone(self, view: View, report: Report) -> str:
        """Take note of a failure of a call that this process let through by itself."""
        with self._lock:
            moved = self._alone.fail(view, report)
            if moved or view is not self.view:
                self._look_alone()
            self._owe()
        if not self._is_away():
            self._settle_soon()
        return moved

    @property
    def may_tell_quickly(self) -> bool:
        """Whether a failure on a view may be told by the usual case."""
        is_there = not self._is_away() and not sys.is_finalizing()
        return is_there and self._link.is_quick and self._shared.is_ready

    def begin_to_tell(self, view: View, report: Report | None = None) -> Telling:
        """Take what ``view`` counted, and a failure after it, to be told at once."""
        with self._lock:
            is_slow = report is not None and self._is_slow(report)
            batch = self._held_back.batch_of(view, this_process().new_token, report, is_slow=is_slow)
            return Telling(batch, self._held_back.told(), monotonic())

    def told_usual(self, telling: Telling, epoch: str) -> None:
        """Take note of the short answer: it was counted, and the circuit is closed in ``epoch``."""
        with self._lock:
            self._held_back.confirm(telling.batch, noted=0)
        if self._last_known.state is not CircuitState.CLOSED:
            self._last_known.remember_closed()
        self._see(telling.asked_at, epoch, CircuitState.CLOSED, CircuitMode.AUTOMATIC, None)

    def fail_begun(self, report: Report, telling: Telling) -> Steps[str]:
        """Tell a failure on a view where the first command may have been sent: it is the refresh of it."""
        reading = yield from self._refresh_begun(telling)
        if reading is not None:
            return reading.transition
        return self._go_by(report)

    @property
    def changes_channel(self) -> str:
        """Where changes of the circuit are published."""
        return self._shared.changes_channel

    def look_after(self, view: View) -> None:
        """See to it that what was counted on ``view`` is told, where nobody comes by to do so."""
        with self._lock:
            is_of_now = view is self.view and not view.is_local
            if is_of_now and view.is_watched:
                return
            if is_of_now:
                view.is_watched = True
                make_sure_to_tell_at_exit()
            else:
                self._owe()
        if is_of_now:
            keeper().watch(self, view.asked_at + PART_OF_STALENESS * self._max_staleness)
        elif not self._is_away():
            self._settle_soon()

    def keep(self) -> float | None:
        """Tell what the view counted, if anything; return when to come by again, or None for not at all."""
        with self._lock:
            view = self.view
            # Whoever counts from now on says so; whoever counted before is seen here.
            view.is_watched = view.is_local
            is_counting = not view.is_local and view.waiting > 0
            is_good = monotonic() <= max(view.closed_until, view.measured_until, view.rejects_until)
            if not (is_counting or self._may_owe) and (view.is_local or not is_good):
                return None
            view.is_watched = True
        if is_counting or self._may_owe:
            if not self._may_ask():
                return self._next_try_at()
            if is_counting:
                walk(self._refresh(), self._link)
            else:
                self._settle_soon()
        wait = PART_OF_STALENESS * self._max_staleness
        return monotonic() + (min(wait, self._guard.retry_interval) if self._may_owe else wait)

    def _admit_on_view(self, token: str) -> AdmissionReading | None:
        view = self.view
        now = monotonic()
        if now < view.closed_until or now < view.measured_until:
            return view.admit(token)
        if now < view.rejects_until:
            return AdmissionReading(None, self.reject_on_view(view, now), view.mode, "", ())
        return None

    def _refresh(self) -> Steps[RefreshReading | None]:
        """Tell what the view counted, and ask where the circuit stands; None without an answer."""
        return (yield from self._refresh_begun(self.begin_to_tell(self.view)))

    def _refresh_begun(self, telling: Telling) -> Steps[RefreshReading | None]:
        batch, told, asked_at = telling
        try:
            reading = yield from self._shared.refresh(batch, told, self._held_back.sending)
        except BaseException as error:  # also a caller that is interrupted: it is told again, and counts once
            with self._lock:
                self._held_back.failed(batch)
                self._owe()
            if not isinstance(error, StoreError):
                self._settle_soon()
                raise
            self._lost(error)
            return None
        with self._lock:
            self._held_back.confirm(batch)
        self._last_known.remember_refresh(reading)
        self.announcer.announce(reading.transition, batch.exception)
        # Of a closed circuit a wait says that each call has to ask.
        if reading.state is CircuitState.CLOSED and reading.retry_after is not None:
            self._see_for_one_call()
        else:
            self._see(asked_at, reading.epoch, reading.state, reading.mode, reading.retry_after)
        self._answered()
        return reading

    def _see_admission(self, asked_at: float, reading: AdmissionReading) -> None:
        refusal = reading.refusal
        if not reading.is_viewable or (refusal is not None and refusal.state is CircuitState.CLOSED):
            self._see_for_one_call()
        elif refusal is not None:
            self._see(asked_at, "", refusal.state, reading.mode, refusal.retry_after)
        elif reading.admission is not None and not reading.admission.is_probe:
            self._see(asked_at, reading.admission.epoch, CircuitState.CLOSED, reading.mode, None)

    def _is_slow(self, report: Report) -> bool:
        if self._slow_ms is None or report.duration_ms is None:
            return False
        return report.duration_ms >= self._slow_ms

    def _see_for_one_call(self) -> None:
        """Take note that an answer is good for one call alone."""
        self._asks_each = True
        self.doubt_view()

    def _see(
        self, asked_at: float, epoch: str, state: CircuitState, mode: CircuitMode, retry_after: float | None
    ) -> None:
        """Take an answer as the view, for as long as it is good."""
        if mode is CircuitMode.OBSERVE and state is not CircuitState.CLOSED:
            self._see_for_one_call()
            return
        with self._lock:
            self._asks_each = False
            view = self.view
            if asked_at < max(self._not_before, view.asked_at) or self._alone.since_us is not None:
                return
            # Where no call runs on a view, its epoch decides nothing: a refusal does not even tell it.
            is_other = state is CircuitState.CLOSED and view.epoch != epoch
            if view.is_local or view.state is not state or is_other:
                view = self._replace_view(View(self._name, epoch))
            view.asked_at, view.state, view.mode = asked_at, state, mode
            if self._settings.push and not self._is_listening:
                self._is_listening = True
                self._listener.listen_for(self)
            view.why = refused_because(state, mode)
            view.open_until = None if retry_after is None else asked_at + retry_after
            good_until = asked_at + self._max_staleness
            closed_until = good_until if state is CircuitState.CLOSED else NEVER
            is_measured = self._slow_ms is not None
            view.closed_until = NEVER if is_measured else closed_until
            view.measured_until = closed_until if is_measured else NEVER
            if state is CircuitState.OPEN:
                view.rejects_until = (
                    good_until if view.open_until is None else min(good_until, view.open_until)
                )
            else:
                view.rejects_until = NEVER

    def _go_by(self, report: Report) -> str:
        """Let the end of a call decide here, since Redis cannot be told now; return the transition."""
        self._go_alone()
        with self._lock:
            return self._learn(report)

    def _learn(self, report: Report) -> str:
        moved = self._alone.learn(report)
        self._look_alone()
        return moved

    def _go_alone(self) -> None:
        if self._alone.since_us is not None or not self._is_away():
            return
        with self._lock:
            if self._alone.since_us is None:
                self._alone.since_us = now_us()
                self._news.add(available=False)
        self._news.tell()
