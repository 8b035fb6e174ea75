"""How did an admitted call end? The report as ``lua/report.lua`` takes it, and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sharedbreaker.circuit.admission import Admission
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.reading import UNDECLARED, texts
from sharedbreaker.circuit.settings import LONGEST_SECONDS

EXCEPTION_NAME_LENGTH = 64
STATUS_ATTRIBUTES = ("code", "status_code")
ERROR_STATUSES = range(400, 600)
USUAL = (b"counted", "counted")


class Report(NamedTuple):
    """The end of one call. Sending it twice is safe: the one that ends the lease counts."""

    admission: Admission
    outcome: Outcome
    exception: str = ""
    """Name of the exception's type. Never its message, which may hold a prompt or a key."""
    retry_after_ms: int | None = None
    """Milliseconds after which the service itself asked to be called again."""
    duration_ms: int | None = None
    """How long the call took, by its caller's monotonic clock, where somebody asks for that."""


class ReportReading(NamedTuple):
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


COUNTED = ReportReading("counted", "", ())


def report_of(
    admission: Admission,
    outcome: Outcome,
    error: BaseException | None,
    retry_after: float | None = None,
    *,
    ended: float | None = None,
) -> Report:
    """Return the report of a call that ended with ``error``, or with None where it returned.

    ``retry_after``: seconds after which the service asked to be called again, where it did. What makes no
    sense as such, as a service may answer anything, is taken as none. ``ended``: the monotonic moment.
    """
    retry_after_ms = None
    if retry_after is not None and 0 < retry_after <= LONGEST_SECONDS:
        retry_after_ms = max(1, round(retry_after * 1000))
    duration_ms = None
    if admission.began and ended is not None:
        duration_ms = max(0, round((ended - admission.began) * 1000))
    return Report(admission, outcome, exception_name(error), retry_after_ms, duration_ms)


def exception_name(error: BaseException | None) -> str:
    """Return the name of an error's type as the books take it; empty without an error.

    With its HTTP status behind it where it has one, as in ``ClientError 429``: many libraries have one class
    for them all. Nothing else of an error is ever kept.
    """
    if error is None:
        return ""
    name = type(error).__qualname__[:EXCEPTION_NAME_LENGTH]
    for attribute in STATUS_ATTRIBUTES:
        try:
            status = getattr(error, attribute, None)
        except Exception:  # noqa: S112 - the property of an error of anybody's
            continue
        if isinstance(status, int) and status in ERROR_STATUSES:
            return f"{name} {int(status)}"
    return name


def milliseconds_text(milliseconds: int | None) -> str:
    """Return what scripts take for a time that may be missing."""
    return "" if milliseconds is None else str(milliseconds)


def report_arguments(report: Report, who: str) -> tuple[str, ...]:
    """Return the script's arguments."""
    admission = report.admission
    wait = milliseconds_text(report.retry_after_ms)
    duration = () if report.duration_ms is None else (str(report.duration_ms),)
    return admission.token, admission.epoch, report.outcome.value, who, report.exception, wait, *duration


def read_report(reply: Sequence[Any] | bytes | str) -> ReportReading:
    """Return what the script said."""
    if reply in USUAL:
        return COUNTED
    verdict, _state, _mode, _epoch, transition, *unreadable = texts(reply, 5)
    return ReportReading(verdict, transition, tuple(unreadable))
