"""A circuit in this process, where a breaker else looks for one in Redis: the same rules, and no server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from sharedbreaker.circuit.admission import OBSERVED_PREFIX, PROBE_PREFIX, AdmissionReading
from sharedbreaker.circuit.circuit_record import TALLY_OF_OUTCOME
from sharedbreaker.circuit.control import Act, ControlReading, check_control
from sharedbreaker.circuit.refresh import Batch, RefreshReading
from sharedbreaker.circuit.report import Report, ReportReading
from sharedbreaker.circuit.rules import Circuit
from sharedbreaker.circuit.settings import Settings, milliseconds_in
from sharedbreaker.circuit.settlement import Settlement, SettlementReading
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.store.clock import now_us
from sharedbreaker.store.keys import Keys
from sharedbreaker.store.link import Link
from sharedbreaker.store.process import this_process
from sharedbreaker.store.redis_store import RedisStore
from sharedbreaker.store.steps import Steps


class Place:
    """Where one circuit is kept: what Redis is to it otherwise, with a clock that stands still."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.now_us = now_us()
        """What the circuit takes for the time. Only ``elapse`` puts it forward, so that no test depends on
        how long it takes itself."""
        self.lock = threading.Lock()
        self.circuit: Circuit | None = None


class RulesStore(RedisStore):
    """One circuit in ``place``, as one breaker sees it. It never raises StoreError."""

    def __init__(self, link: Link, keys: Keys, settings: Settings, place: Place) -> None:
        super().__init__(link, place.name, keys, settings)
        self._place = place

    @property
    def is_ready(self) -> bool:
        """Always False: what is packed ahead is meant for Redis."""
        return False

    def admit(self, token: str) -> Steps[AdmissionReading]:
        """Answer whether the call named ``token`` may run."""
        yield from ()
        with self._circuit_now() as (circuit, now):
            return circuit.admit(now, token, this_process().who)

    def report(self, report: Report) -> Steps[ReportReading]:
        """Take note of how an admitted call ended."""
        yield from ()
        with self._circuit_now() as (circuit, now):
            return circuit.report(now, report, this_process().who)

    def refresh(self, batch: Batch, told: str, sending: Callable[[Batch], None]) -> Steps[RefreshReading]:
        """Take note of what was held back, and say where the circuit stands."""
        yield from ()
        sending(batch)
        with self._circuit_now() as (circuit, now):
            return circuit.refresh(now, batch, told, this_process().who)

    def settle(self, settlement: Settlement) -> Steps[SettlementReading]:
        """Withdraw admissions that were interrupted before their answer came."""
        yield from ()
        with self._circuit_now() as (circuit, _now):
            for outcome, times in settlement.outcomes.items():
                circuit.tallies[TALLY_OF_OUTCOME[outcome]] += times
            circuit.tallies["rejected_calls"] += settlement.rejected
            for token in settlement.unanswered_tokens:
                for lease in (token, PROBE_PREFIX + token, OBSERVED_PREFIX + token):
                    circuit.call_leases.pop(lease, None)
                    if circuit.probe_leases.pop(lease, None) is not None:
                        circuit.probes.remove(lease)
        return SettlementReading("settled", ())

    def control(
        self, act: Act, who: str | None, reason: str | None, seconds: float | timedelta | None
    ) -> Steps[ControlReading]:
        """Take the circuit in hand, or let it go."""
        yield from ()
        check_control(who, reason, seconds)
        hold_ms = None if seconds is None else milliseconds_in("seconds", seconds)
        with self._circuit_now() as (circuit, now):
            return circuit.control(now, act, who or this_process().who, reason or "", hold_ms)

    def snapshot(self) -> Steps[Snapshot]:
        """Look, and change nothing."""
        yield from ()
        place = self._place
        with place.lock:
            circuit = place.circuit or Circuit(place.name, self._settings.fields(), place.now_us)
            return circuit.snapshot(place.now_us)

    @contextmanager
    def _circuit_now(self) -> Iterator[tuple[Circuit, int]]:
        """Give the circuit, with this breaker's settings in force once it has declared them, and the time."""
        place = self._place
        with place.lock:
            if place.circuit is None:
                place.circuit = Circuit(place.name, self._settings.fields(), place.now_us)
            elif not self._declared:
                place.circuit.declare(self._settings.fields())
            self._declared = True
            yield place.circuit, place.now_us
