"""How did an admitted call end? The report as ``lua/report.lua`` takes it, and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sharedbreaker.circuit.admission import Admission
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.reading import UNDECLARED, texts

EXCEPTION_NAME_LENGTH = 64


@dataclass(frozen=True)
class Report:
    """The end of one call. Sending it twice is safe: the one that ends the lease counts."""

    admission: Admission
    outcome: Outcome
    exception: str = ""
    """Name of the exception's type. Never its message, which may hold a prompt or a key."""


@dataclass(frozen=True)
class ReportReading:
    """What became of a report."""

    verdict: str
    """``counted``, ``late``, ``unknown`` or ``undeclared``, as ``lua/report.lua`` explains them."""
    transition: str
    """The transition that this report caused, such as ``closed_to_open``; empty without one."""
    unreadable: tuple[str, ...]

    @property
    def is_undeclared(self) -> bool:
        """Whether the circuit lacks the settings to decide by."""
        return self.verdict == UNDECLARED


def report_of(admission: Admission, outcome: Outcome, error: BaseException | None) -> Report:
    """Return the report of a call that ended with ``error``, or with None where it returned."""
    exception = "" if error is None else type(error).__qualname__[:EXCEPTION_NAME_LENGTH]
    return Report(admission, outcome, exception)


def report_arguments(report: Report, who: str) -> tuple[str, ...]:
    """Return the script's arguments."""
    admission = report.admission
    return admission.token, admission.epoch, report.outcome.value, who, report.exception


def read_report(reply: Sequence[Any]) -> ReportReading:
    """Return what the script said."""
    verdict, _state, _mode, _epoch, transition, *unreadable = texts(reply, 5)
    return ReportReading(verdict, transition, tuple(unreadable))
