"""One circuit wherever it can be had: in Redis, and in this process for as long as Redis cannot be asked.

The shared state wins: what this process decided by itself ends with the first answer, and what it tallied
meanwhile is added to the hash once.
"""

from __future__ import annotations

import atexit
import dataclasses
import logging
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from time import monotonic

from sharedbreaker.circuit.admission import AdmissionReading, mode_of, refused_because
from sharedbreaker.circuit.control import Act, ControlReading
from sharedbreaker.circuit.errors import CircuitBreakerError, CircuitUnusableError, StoreError
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.refresh import Batch, RefreshReading
from sharedbreaker.circuit.report import Report
from sharedbreaker.circuit.settings import Settings, seconds_in
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.circuit.state import CircuitMode, CircuitState
from sharedbreaker.store.alone import Alone, OnRedisError
from sharedbreaker.store.books import Books
from sharedbreaker.store.clock import now_us
from sharedbreaker.store.cluster_link import ClusterLink
from sharedbreaker.store.guard import Guard
from sharedbreaker.store.held_back import HeldBack
from sharedbreaker.store.keeper import keeper
from sharedbreaker.store.last_known import LastKnown
from sharedbreaker.store.link import Link
from sharedbreaker.store.members import Members
from sharedbreaker.store.news import News
from sharedbreaker.store.process import ForgetsAtFork, call_forget_in_children, this_process
from sharedbreaker.store.quiet_log import QuietLog
from sharedbreaker.store.redis_store import RedisStore
from sharedbreaker.store.steps import Steps, walk
from sharedbreaker.store.view import NEVER, View

logger = logging.getLogger("sharedbreaker")

SECONDS_FOR_SETTLER = 1.0
PART_OF_STALENESS = 0.75
"""How much of a view's time passes before a thread renews it, so that no call has to."""


class SwitchOverStore(ForgetsAtFork):
    """One circuit, as one process sees it.

    Args:
        shared: the circuit in Redis.
        link: the way there for this process' own threads, and the guard over it.
        max_staleness: seconds that a view may be old; 0 asks Redis for each call.
        on_redis_error: what to do without Redis: decide by the same rules, allow, or reject.
        on_redis_change: called with False when this circuit loses Redis and True when it has it again.

    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        shared: RedisStore,
        link: Link | ClusterLink,
        *,
        max_staleness: float,
        on_redis_error: OnRedisError,
        on_redis_change: Callable[[bool], None] | None,
    ) -> None:
        self._name = name
        self._settings = settings
        self._shared = shared
        self._link = link
        self._guard = link.guard_of_circuit()
        self._max_staleness = max_staleness
        self._on_redis_error = on_redis_error
        self._on_redis_change = on_redis_change
        self.forget()
        call_forget_in_children(self)
        _stores.add(self)

    def forget(self) -> None:
        """Start as a process that owes nothing and has never asked."""
        # A circuit that Redis cannot serve says nothing about the others, so it is guarded by itself.
        self._own_guard = Guard(self._guard.retry_interval)
        self._lock = threading.Lock()
        self._settling = threading.Lock()
        self._news = News(self._name, self._on_redis_change)
        self._books = Books()
        self._held_back = HeldBack(seconds_in("lease_timeout", self._settings.lease_timeout))
        self._last_known = LastKnown(self._settings)
        self._alone = Alone(self._name, self._settings, self._books, self._last_known, self._on_redis_error)
        self._log = QuietLog()
        self._not_before = NEVER
        self._may_owe = False
        self.is_usual = False
        """Whether calls may ask by the usual case."""
        self.usual_case = self._shared.usual_case()
        self.view = View(self._name)
        """What calls may be decided on at this moment, without any further question."""

    def admit(self, token: str) -> Steps[AdmissionReading]:
        """Answer whether the call named ``token`` may run. Never raises StoreError."""
        reading = self._admit_on_view(token)
        if reading is not None:
            return reading
        if self._may_ask():
            if self._max_staleness and self._last_known.state is CircuitState.CLOSED:
                # What answers for all calls of the next moments is asked for by one of them.
                if (yield from self._refresh()) is None:
                    return self._admit_alone(token)
                reading = self._admit_on_view(token)
                if reading is not None:
                    return reading
            return (yield from self.admit_begun(token))
        return self._admit_alone(token)

    def admit_begun(self, token: str) -> Steps[AdmissionReading]:
        """Answer the same where the first command may have been sent: it is the script's, with this token."""
        reading = yield from self._admit_in_redis(token)
        # What was withdrawn is not used again.
        return reading or self._admit_alone(this_process().new_token())

    def see_usual(self, refusal: CircuitBreakerError | None) -> None:
        """Take note of a short answer to an admission."""
        if refusal is not None or self._last_known.state is not CircuitState.CLOSED:
            mode = CircuitMode.AUTOMATIC if refusal is None else mode_of(refusal)
            self._last_known.remember(AdmissionReading(None, refusal, mode, "", ()))

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
        if reading.transition:
            self._last_known.remember_transition(reading.transition)
        self._answered()
        return reading.transition

    def report_on_view(self, view: View, report: Report) -> Steps[str]:
        """Tell how a call ended that ran on ``view``. Only a failure is told at once."""
        if report.outcome is not Outcome.FAILURE:
            view.add(report.outcome)
            if not view.is_watched:
                self.look_after(view)
            return ""
        if view.is_local:
            with self._lock:
                moved = self._alone.fail(view, report)
                self._look_alone()
                self._owe()
            if not self._is_away():
                self._settle_soon()
            return moved
        with self._lock:
            batch = self._held_back.batch_of(view, this_process().new_token, report)
        if self._may_ask():
            reading = yield from self._refresh(batch)
            if reading is not None:
                return reading.transition
        else:
            with self._lock:
                self._held_back.failed(batch)
                self._owe()
        self._go_alone()
        with self._lock:
            return self._learn(report)

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

    def look_after(self, view: View) -> None:
        """See to it that what was counted on ``view`` is told, where nobody comes by to do so."""
        if view is self.view and not view.is_local:
            view.is_watched = True
            keeper().watch(self)
        else:
            self._owe()
            if not self._is_away():
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
        # Redis may answer what only reads, and take no call: then this process still decides by itself.
        if self._may_owe:
            self._settle_soon()
        is_away = self._alone.since_us is not None
        return dataclasses.replace(snapshot, redis_available=not is_away, unwritten_calls=self._unwritten())

    def snapshot_alone(self) -> Snapshot:
        """Look at what this process decides by, while Redis cannot be asked."""
        with self._lock:
            snapshot = self._alone.snapshot(self.view)
        return dataclasses.replace(snapshot, redis_available=False, unwritten_calls=self._unwritten())

    def doubt_view(self) -> None:
        """Act on nothing that was asked before now: the circuit has changed."""
        with self._lock:
            self._not_before = monotonic()
            if not self.view.is_local:
                self.view.end_now()

    def keep(self) -> float | None:
        """Tell what the view counted, if anything; return when to come by again, or None for not at all."""
        view = self.view
        if view.is_local or not view.is_watched:
            return None
        if not self._may_ask():
            return self._next_try_at()
        # Whoever counts from now on says so; whoever counted before is seen below.
        view.is_watched = False
        with self._lock:
            is_counting = view.waiting > 0
        if not is_counting and monotonic() > view.closed_until and monotonic() > view.rejects_until:
            return None
        view.is_watched = True
        if is_counting:
            walk(self._refresh(), self._link)
        return monotonic() + PART_OF_STALENESS * self._max_staleness

    def here(self) -> tuple[bool, int]:
        """Return whether this process decides by itself, and how many calls Redis is not told of. No I/O."""
        return self._alone.since_us is not None or self._is_away(), self._unwritten()

    def settle_at_exit(self) -> bool:
        """Tell Redis what it is owed, in one bounded try; return False where that failed."""
        with self._lock:
            if not self.view.is_local:
                self._held_back.failed(self._held_back.batch_of(self.view, this_process().new_token))
        return self._is_settled() or self._settle(SECONDS_FOR_SETTLER)

    def _admit_on_view(self, token: str) -> AdmissionReading | None:
        view = self.view
        now = monotonic()
        if now < view.closed_until:
            return view.admit(token)
        if now < view.rejects_until:
            view.add_rejected()
            if not view.is_watched:
                self.look_after(view)
            return AdmissionReading(None, view.refusal(now), view.mode, "", ())
        return None

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
        if self._max_staleness:
            self._see_admission(asked_at, reading)
        self._answered()
        return reading

    def _refresh(self, batch: Batch | None = None) -> Steps[RefreshReading | None]:
        """Tell a batch, or what the view counted, and ask where the circuit stands; None without answer."""
        with self._lock:
            if batch is None:
                batch = self._held_back.batch_of(self.view, this_process().new_token)
            told = self._held_back.told()
        asked_at = monotonic()
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
        self._see(asked_at, reading.epoch, reading.state, reading.mode, reading.retry_after)
        self._answered()
        return reading

    def _see_admission(self, asked_at: float, reading: AdmissionReading) -> None:
        if reading.refusal is not None:
            self._see(asked_at, "", reading.refusal.state, reading.mode, reading.refusal.retry_after)
        elif reading.admission is not None and not reading.admission.is_probe:
            self._see(asked_at, reading.admission.epoch, CircuitState.CLOSED, reading.mode, None)

    def _see(
        self, asked_at: float, epoch: str, state: CircuitState, mode: CircuitMode, retry_after: float | None
    ) -> None:
        """Take an answer as the view, for as long as it is good."""
        with self._lock:
            view = self.view
            if asked_at < max(self._not_before, view.asked_at) or self._alone.since_us is not None:
                return
            if view.is_local or view.epoch != epoch or view.state is not state:
                view = self._replace_view(View(self._name, epoch))
            view.asked_at, view.state, view.mode = asked_at, state, mode
            view.why = refused_because(state, mode)
            view.open_until = None if retry_after is None else asked_at + retry_after
            good_until = asked_at + self._max_staleness
            view.closed_until = good_until if state is CircuitState.CLOSED else NEVER
            if state is CircuitState.OPEN:
                view.rejects_until = (
                    good_until if view.open_until is None else min(good_until, view.open_until)
                )
            else:
                view.rejects_until = NEVER

    def _replace_view(self, view: View) -> View:
        self._held_back.retire(self.view, monotonic())
        if self.view.waiting > 0:
            self._owe()
        self.view = view
        return view

    def _may_ask(self) -> bool:
        # While the interpreter is leaving no thread can be started, and to connect takes one.
        return not sys.is_finalizing() and self._guard.may_ask() and self._own_guard.may_ask()

    def _is_away(self) -> bool:
        return self._guard.is_away or self._own_guard.is_away

    def _next_try_at(self) -> float:
        return max(self._guard.next_try_at, self._own_guard.next_try_at)

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

    def _look_alone(self) -> None:
        """Have calls decided by what this process knows by itself, until somebody asks Redis again."""
        if self._alone.since_us is None:
            return
        view = self._alone.look(self.view, self._next_try_at())
        if view is not self.view:
            self._replace_view(view)

    def _lost(self, error: StoreError) -> None:
        guard = self._own_guard if isinstance(error, CircuitUnusableError) else self._guard
        guard.failed()
        self.is_usual = False
        self._log.warning(
            "lost", "%s; until it answers, on_redis_error=%r decides", error, self._on_redis_error
        )

    def _answered(self) -> None:
        """Take note of an answer. Redis is back when it has also taken what it is owed."""
        if self._may_owe:
            self._settle_soon()
        elif self._alone.since_us is not None or self._is_away():
            self._return_to_redis()
        elif not self.is_usual:
            self.is_usual = self._link.is_quick and not self._max_staleness and self._shared.is_ready

    def _owe(self) -> None:
        """Take note that Redis has to be told something."""
        self._may_owe = True
        self.is_usual = False

    def _return_to_redis(self) -> None:
        self._guard.answered()
        self._own_guard.answered()
        for store in self._served_by_the_same_guard():
            store._come_back()  # noqa: SLF001 - one of us

    def _served_by_the_same_guard(self) -> list[SwitchOverStore]:
        return [store for store in _stores.alive() if store._guard is self._guard]  # noqa: SLF001 - one of us

    def _settle_soon(self) -> None:
        self._guard.settle_soon(self._settle_all)

    def _settle_all(self) -> None:
        for store in self._served_by_the_same_guard():
            told = store._is_settled() or store._settle()  # noqa: SLF001 - one of us
            # Where Redis could not be told of one circuit, it cannot be told of the others.
            if not told and not store._own_guard.is_away:  # noqa: SLF001 - one of us
                return
        self._return_to_redis()

    def _come_back(self) -> None:
        with self._lock:
            if self._alone.since_us is None or self._own_guard.is_away:
                return
            away_us = self._alone.come_back()
            self._replace_view(View(self._name))
            self._news.add(available=True)
            calls = self._books.settled_calls
            self._books.settled_calls = 0
            self._books.away_ms = away_us // 1000
        self._log.warning(
            "answered",
            "circuit %r: Redis answers again; it was told of %d calls that were decided here in %.1f s",
            self._name,
            calls,
            away_us / 1_000_000,
        )
        self._news.tell()

    def _unwritten(self) -> int:
        with self._lock:
            waiting = self.view.waiting + sum(view.waiting for view in self._held_back.past if view.is_local)
            return self._books.calls + self._held_back.calls + waiting

    def _is_settled(self) -> bool:
        with self._lock:
            is_told = self._held_back.is_told and not (self.view.is_local and self.view.waiting)
            self._may_owe = not (is_told and self._books.is_settled)
            return not self._may_owe

    def _settle(self, seconds_to_wait: float = 0.0) -> bool:
        """Tell Redis what it is owed; return False where that failed or another thread is at it."""
        if not self._settling.acquire(timeout=seconds_to_wait):
            return False
        try:
            self._settle_reports()
            self._settle_batches()
            with self._lock:
                for view in (self.view, *self._held_back.past):
                    if view.is_local:
                        self._alone.take(view)
                if self._alone.since_us is not None:
                    self._books.away_ms = (now_us() - self._alone.since_us) // 1000
                settlement = self._books.next_settlement(this_process().new_token)
            if settlement is not None:
                walk(self._shared.settle(settlement), self._link)
                with self._lock:
                    self._books.confirm()
        except StoreError as error:
            self._lost(error)
            return False
        finally:
            self._settling.release()
        self._is_settled()
        return True

    def _settle_reports(self) -> None:
        while True:
            with self._lock:
                if not self._books.reports:
                    return
                report = self._books.reports.popleft()
            try:
                reading = walk(self._shared.report(report), self._link)
            except BaseException:
                with self._lock:
                    self._books.reports.appendleft(report)
                raise
            self._last_known.remember_transition(reading.transition)

    def _settle_batches(self) -> None:
        while True:
            with self._lock:
                batch = self._held_back.next_batch(this_process().new_token)
                told = self._held_back.told()
            if batch is None:
                return
            try:
                reading = walk(self._shared.refresh(batch, told, self._held_back.sending), self._link)
            except BaseException:
                with self._lock:
                    self._held_back.failed(batch)
                raise
            with self._lock:
                self._held_back.confirm(batch)
            self._last_known.remember_transition(reading.transition)


_stores: Members[SwitchOverStore] = Members()


@atexit.register
def _settle_at_exit() -> None:
    for store in _stores.alive():
        if not store.settle_at_exit():
            return
