"""What a process owes Redis of one circuit, and how it comes to have Redis again.

The shared state wins: what this process decided by itself ends with the first answer, and what it tallied
meanwhile is added to the hash once.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from time import monotonic

from sharedbreaker.circuit.errors import CircuitUnusableError, StoreError
from sharedbreaker.circuit.report import Report
from sharedbreaker.circuit.settings import Settings, seconds_in
from sharedbreaker.store.alone import Alone, OnRedisError
from sharedbreaker.store.announcer import Announcer
from sharedbreaker.store.books import Books
from sharedbreaker.store.clock import now_us
from sharedbreaker.store.cluster_link import ClusterLink
from sharedbreaker.store.guard import Guard
from sharedbreaker.store.held_back import HeldBack
from sharedbreaker.store.keeper import keeper
from sharedbreaker.store.last_known import LastKnown
from sharedbreaker.store.leaving import AtExit
from sharedbreaker.store.link import Link
from sharedbreaker.store.listener import listener_on
from sharedbreaker.store.members import Members
from sharedbreaker.store.news import News
from sharedbreaker.store.process import ForgetsAtFork, call_forget_in_children, this_process
from sharedbreaker.store.quiet_log import QuietLog
from sharedbreaker.store.redis_store import RedisStore
from sharedbreaker.store.steps import Steps, walk
from sharedbreaker.store.view import NEVER, View

logger = logging.getLogger("sharedbreaker")

SECONDS_FOR_SETTLER = 1.0


class SettlingStore(ForgetsAtFork):
    """One circuit, as one process sees it: what it owes, and to whom it is told.

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
        self._slow_ms = (
            int(settings.fields()["slow_call_duration_ms"]) if settings.slow_call_rate_percent else None
        )
        self._listener = listener_on(link)
        self.announcer = Announcer(name)
        """Tells of the transitions that this process causes."""
        self._on_redis_error = on_redis_error
        self._on_redis_change = on_redis_change
        self.view = View(name)
        """What calls may be decided on at this moment, without any further question."""
        self._held_back = self._nothing_held_back()
        self.forget()
        call_forget_in_children(self)
        _stores.add(self)

    def forget(self) -> None:
        """Start as a process that owes nothing and has never asked."""
        # Calls that are under way in the parent have a copy here that may end as well.
        for view in (self.view, *self._held_back.past):
            view.disown()
        # A circuit that Redis cannot serve says nothing about the others, so it is guarded by itself.
        self._own_guard = Guard(self._guard.retry_interval)
        self._lock = threading.Lock()
        self._settling = threading.Lock()
        self._is_listening = False
        self._news = News(self._name, self._on_redis_change)
        self._books = Books()
        self._held_back = self._nothing_held_back()
        self._last_known = LastKnown(self._settings)
        self._alone = Alone(self._name, self._settings, self._books, self._last_known, self._on_redis_error)
        self._log = QuietLog()
        self._is_lost = False
        self._not_before = NEVER
        self._may_owe = False
        self._asks_each = False
        self.is_usual = False
        """Whether calls may ask by the usual case."""
        self.usual_case = self._shared.usual_case()
        self.view = View(self._name)

    def _nothing_held_back(self) -> HeldBack:
        return HeldBack(seconds_in("lease_timeout", self._settings.lease_timeout))

    def keep(self) -> float | None:
        """Come by; return when to come by again, or None for not at all."""
        raise NotImplementedError

    def settle_at_exit(self) -> bool:
        """Tell Redis what it is owed, in one bounded try; return False where that failed."""
        with self._lock:
            if not self.view.is_local:
                self._held_back.failed(self._held_back.batch_of(self.view, this_process().new_token))
            self._held_back.call_back()
        # Also where nothing waits: a thread may have a report in hand.
        return self._settle(SECONDS_FOR_SETTLER)

    def doubt_view(self) -> None:
        """Act on nothing that was asked before now: the circuit has changed."""
        with self._lock:
            self._not_before = monotonic()
            if not self.view.is_local:
                self.view.end_now()

    def here(self) -> tuple[bool, int]:
        """Return whether this process decides by itself, and how many calls Redis is not told of. No I/O."""
        is_alone, unwritten = self._whereabouts()
        return is_alone or self._is_away(), unwritten

    def _moved(self, transition: str) -> None:
        """Take note of a transition that this process brought about without asking; an empty text is none."""
        if transition:
            self._last_known.remember_transition(transition)
            self.doubt_view()

    def _may_ask(self) -> bool:
        # While the interpreter is leaving no thread can be started, and to connect takes one.
        return not sys.is_finalizing() and self._guard.may_ask() and self._own_guard.may_ask()

    def _is_away(self) -> bool:
        return self._guard.is_away or self._own_guard.is_away

    def _next_try_at(self) -> float:
        return max(self._guard.next_try_at, self._own_guard.next_try_at)

    def _look_alone(self) -> None:
        """Have calls decided by what this process knows by itself, until somebody asks Redis again."""
        if self._alone.since_us is None:
            return
        view = self._alone.look(self.view, self._next_try_at())
        if view is not self.view:
            self._replace_view(view)

    def _replace_view(self, view: View) -> View:
        self._held_back.retire(self.view, monotonic())
        if self.view.waiting > 0:
            self._owe()
        self.view = view
        return view

    def _lost(self, error: StoreError) -> None:
        guard = self._own_guard if isinstance(error, CircuitUnusableError) else self._guard
        guard.failed()
        self.is_usual = False
        self._is_lost = True
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
        if self._max_staleness and not self._may_owe:
            # What is late already waits for no further call.
            keeper().watch(self, monotonic() + self._guard.retry_interval)
        self._may_owe = True
        self.is_usual = False
        make_sure_to_tell_at_exit()

    def _return_to_redis(self) -> None:
        self._guard.answered()
        self._own_guard.answered()
        for store in self._served_by_the_same_guard():
            store._come_back()  # noqa: SLF001 - one of us

    def _served_by_the_same_guard(self) -> list[SettlingStore]:
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
            if self._own_guard.is_away:
                return
            was_lost, self._is_lost = self._is_lost, False
            if self._alone.since_us is None:
                # Somebody who only looked met the outage, and no call.
                if was_lost:
                    self._log.warning("answered", "circuit %r: Redis answers again", self._name)
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
        if self._may_owe:  # a call ended here after all else was told
            self._settle_soon()

    def _whereabouts(self) -> tuple[bool, int]:
        """Return at one instant whether this process decides by itself, and how many calls are unwritten."""
        with self._lock:
            if not self._may_owe and not self._max_staleness:
                return self._alone.since_us is not None, 0
            waiting = self.view.waiting + sum(view.waiting for view in self._held_back.past if view.is_local)
            unwritten = self._books.calls + self._held_back.calls + waiting
            return self._alone.since_us is not None, unwritten

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
                    self._books.confirm(settlement)
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
                report = self._books.next_report()
            if report is None:
                return
            walk(self._tell(report), self._link)

    def _tell(self, report: Report) -> Steps[None]:
        """Tell the end of a call that is on the books. Until there is an answer, others may tell it too."""
        reading = yield from self._shared.report(report)
        with self._lock:
            self._books.confirm_report(report)
        self._moved(reading.transition)
        self.announcer.announce(reading.transition, report.exception)

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
            self._moved(reading.transition)
            self.announcer.announce(reading.transition, batch.exception)


_stores: Members[SettlingStore] = Members()


def tell_before_leaving() -> None:
    """Tell Redis what this process owes it, in one bounded try: it is about to leave."""
    for store in _stores.alive():
        # Where Redis could not be told of one circuit, it cannot be told of the others.
        if not store.settle_at_exit() and not store._own_guard.is_away:  # noqa: SLF001 - one of us
            return


_at_exit = AtExit(tell_before_leaving)
make_sure_to_tell_at_exit = _at_exit.make_sure
