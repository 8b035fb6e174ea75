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
from typing import Literal

from sharedbreaker.circuit.admission import Admission, AdmissionReading
from sharedbreaker.circuit.control import Act, ControlReading
from sharedbreaker.circuit.errors import CircuitBreakerError, CircuitUnusableError, StoreError
from sharedbreaker.circuit.report import Report
from sharedbreaker.circuit.rules import Circuit
from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.circuit.state import CircuitMode
from sharedbreaker.store.books import Books
from sharedbreaker.store.clock import now_us
from sharedbreaker.store.guard import Guard
from sharedbreaker.store.last_known import LastKnown
from sharedbreaker.store.members import Members
from sharedbreaker.store.news import News
from sharedbreaker.store.process import ForgetsAtFork, call_forget_in_children, this_process
from sharedbreaker.store.quiet_log import QuietLog
from sharedbreaker.store.redis_store import RedisStore

logger = logging.getLogger("sharedbreaker")

OnRedisError = Literal["local", "allow", "reject"]
SECONDS_FOR_SETTLER = 1.0


class SwitchOverStore(ForgetsAtFork):
    """One circuit, as one process sees it.

    Args:
        shared: the circuit in Redis.
        guard: whether it is worth asking Redis, shared by all circuits of the process.
        on_redis_error: what to do without Redis: decide by the same rules, allow, or reject.
        on_redis_change: called with False when this circuit loses Redis and True when it has it again.

    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        shared: RedisStore,
        guard: Guard,
        *,
        on_redis_error: OnRedisError,
        on_redis_change: Callable[[bool], None] | None,
    ) -> None:
        self._name = name
        self._settings = settings
        self._shared = shared
        self._guard = guard
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
        self._local: Circuit | None = None
        self._away_since_us: int | None = None
        self._last_known = LastKnown(self._settings)
        self._log = QuietLog()

    def admit(self) -> AdmissionReading:
        """Answer whether a call may run. Never raises StoreError."""
        if self._may_ask():
            token = this_process().new_token()
            try:
                reading = self._shared.admit(token)
            except BaseException as error:  # also a caller that is interrupted, and will never report
                with self._lock:
                    self._books.withdraw(token)
                if not isinstance(error, StoreError):
                    raise
                self._lost(error)
            else:
                self._last_known.remember(reading)
                self._answered()
                return reading
        return self._admit_alone()

    def report(self, report: Report) -> str:
        """Tell how an admitted call ended; return the transition that it caused, or an empty text.

        Never raises StoreError: what Redis cannot be told now, it is told later.
        """
        if report.admission.is_local:
            moved = self._report_alone(report)
            if not self._is_away():
                self._settle_soon()
            return moved
        if self._may_ask():
            try:
                moved = self._shared.report(report).transition
            except StoreError as error:
                self._lost(error)
            except BaseException:  # interrupted while it waited: whether Redis was told, nobody knows
                with self._lock:
                    self._books.reports.append(report)
                raise
            else:
                self._last_known.remember_transition(moved)
                self._answered()
                return moved
        self._go_alone()
        with self._lock:
            self._books.reports.append(report)
            return self._circuit_alone().learn(now_us(), report.outcome, this_process().who)

    def control(
        self, act: Act, who: str | None, reason: str | None, seconds: float | timedelta | None
    ) -> ControlReading:
        """Take the circuit in hand, or let it go; raise StoreError without Redis, and change nothing here."""
        try:
            reading = self._shared.control(act, who, reason, seconds)
        except StoreError as error:
            self._lost(error)
            raise type(error)(
                f"{error}. No answer says that {act} was carried out. It needs Redis, because it speaks to "
                "the whole fleet: try again when Redis answers. Until then each process decides by itself."
            ) from error
        self._last_known.remember_act(act, seconds)
        self._answered()
        return reading

    def snapshot(self) -> Snapshot:
        """Look at the shared circuit; raise StoreError, at once if Redis is known to be away, without it."""
        if not self._may_ask():
            raise StoreError(
                f"circuit {self._name!r}: Redis could not be asked a moment ago; it is tried again every "
                f"{self._guard.retry_interval:g} s"
            )
        try:
            snapshot = self._shared.snapshot()
        except StoreError as error:
            self._lost(error)
            raise
        # Redis may answer what only reads, and take no call: then this process still decides by itself.
        if not self._books.is_settled:
            self._settle_soon()
        is_away = self._away_since_us is not None
        return dataclasses.replace(snapshot, redis_available=not is_away, unwritten_calls=self._books.calls)

    def snapshot_alone(self) -> Snapshot:
        """Look at what this process decides by, while Redis cannot be asked."""
        with self._lock:
            snapshot = self._circuit_alone().snapshot(now_us())
            calls = self._books.calls
        return dataclasses.replace(snapshot, redis_available=False, unwritten_calls=calls)

    def settle_at_exit(self) -> bool:
        """Tell Redis what it is owed, in one bounded try; return False where that failed."""
        return self._books.is_settled or self._settle(SECONDS_FOR_SETTLER)

    def _may_ask(self) -> bool:
        # While the interpreter is leaving no thread can be started, and to connect takes one.
        return not sys.is_finalizing() and self._guard.may_ask() and self._own_guard.may_ask()

    def _circuit_alone(self) -> Circuit:
        """Return this process' own circuit, begun from the last that was known of the shared one.

        It lasts until Redis is back. Who only wants to look, or was overtaken by its return, gets one to
        throw away.
        """
        if self._local is not None:
            return self._local
        circuit = Circuit(self._name, self._settings.fields(), now_us())
        self._last_known.begin(circuit)
        if self._away_since_us is not None:
            self._local = circuit
        return circuit

    def _admit_alone(self) -> AdmissionReading:
        self._go_alone()
        process = this_process()
        with self._lock:
            if self._on_redis_error == "allow":
                return AdmissionReading(_ALLOWED, None, CircuitMode.AUTOMATIC, "", ())
            if self._on_redis_error == "reject":
                self._books.count_rejected()
                wait = self._guard.retry_interval
                refusal = CircuitBreakerError(self._name, self._last_known.state, wait, "redis_away")
                return AdmissionReading(None, refusal, self._last_known.mode, "", ())
            reading = self._circuit_alone().admit(now_us(), process.new_token(), process.who)
            if reading.admission is None:
                self._books.count_rejected()
                return reading
            admission = dataclasses.replace(reading.admission, is_local=True)
            return dataclasses.replace(reading, admission=admission)

    def _report_alone(self, report: Report) -> str:
        with self._lock:
            self._books.count(report.outcome)
            if self._local is None:
                return ""
            return self._local.report(now_us(), report, this_process().who).transition

    def _go_alone(self) -> None:
        if self._away_since_us is not None or not self._is_away():
            return
        with self._lock:
            if self._away_since_us is None:
                self._away_since_us = now_us()
                self._news.add(available=False)
        self._news.tell()

    def _lost(self, error: StoreError) -> None:
        guard = self._own_guard if isinstance(error, CircuitUnusableError) else self._guard
        guard.failed()
        self._log.warning(
            "lost", "%s; until it answers, on_redis_error=%r decides", error, self._on_redis_error
        )

    def _is_away(self) -> bool:
        return self._guard.is_away or self._own_guard.is_away

    def _answered(self) -> None:
        """Take note of an answer. Redis is back when it has also taken what it is owed."""
        if not self._books.is_settled:
            self._settle_soon()
        elif self._away_since_us is not None or self._is_away():
            self._return_to_redis()

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
            told = store._books.is_settled or store._settle()  # noqa: SLF001 - one of us
            # Where Redis could not be told of one circuit, it cannot be told of the others.
            if not told and not store._own_guard.is_away:  # noqa: SLF001 - one of us
                return
        self._return_to_redis()

    def _come_back(self) -> None:
        with self._lock:
            since_us = self._away_since_us
            if since_us is None or self._own_guard.is_away:
                return
            away_us = now_us() - since_us
            self._away_since_us = None
            self._news.add(available=True)
            self._local = None
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

    def _settle(self, seconds_to_wait: float = 0.0) -> bool:
        """Tell Redis what it is owed; return False where that failed or another thread is at it."""
        if not self._settling.acquire(timeout=seconds_to_wait):
            return False
        try:
            self._settle_reports()
            with self._lock:
                if self._away_since_us is not None:
                    self._books.away_ms = (now_us() - self._away_since_us) // 1000
                settlement = self._books.next_settlement(this_process().new_token)
            if settlement is not None:
                self._shared.settle(settlement)
                with self._lock:
                    self._books.confirm()
        except StoreError as error:
            self._lost(error)
            return False
        finally:
            self._settling.release()
        return True

    def _settle_reports(self) -> None:
        while True:
            with self._lock:
                if not self._books.reports:
                    return
                report = self._books.reports.popleft()
            try:
                self._last_known.remember_transition(self._shared.report(report).transition)
            except StoreError:
                with self._lock:
                    self._books.reports.appendleft(report)
                raise


_ALLOWED = Admission("", "", is_local=True)
_stores: Members[SwitchOverStore] = Members()


@atexit.register
def _settle_at_exit() -> None:
    for store in _stores.alive():
        if not store.settle_at_exit():
            return
