"""What a breaker asks of the place where its circuit lives, whether that is Redis or this process."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from sharedbreaker.circuit.admission import AdmissionReading
from sharedbreaker.circuit.control import Act, ControlReading
from sharedbreaker.circuit.report import Report, ReportReading
from sharedbreaker.circuit.snapshot import Snapshot


class Store(Protocol):
    """One circuit. Each method is one atomic step; each may raise StoreError."""

    def admit(self) -> AdmissionReading:
        """Ask whether a call may run."""

    def report(self, report: Report) -> ReportReading:
        """Tell how an admitted call ended. Counts once, however often it is told."""

    def control(
        self, act: Act, who: str | None, reason: str | None, seconds: float | timedelta | None
    ) -> ControlReading:
        """Take the circuit in hand, or let it go."""

    def snapshot(self) -> Snapshot:
        """Look, and change nothing."""
