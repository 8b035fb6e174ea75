"""Invariant 7: no call is let through on a view that is older than the staleness."""

from __future__ import annotations

from bisect import bisect_right

from era_keeper import CircuitEra
from fault_books import Books, Call
from fault_verdicts import Verdict, quantile

CLOCK_STEP_MS = 2
"""Redis counts in whole milliseconds, and these are told from its events."""


def views_are_not_too_old(books: Books) -> Verdict:
    """A call that begins later than the staleness after its view's epoch was over is never let through on it.

    An epoch is over when the circuit opens, or with the data that it was in. The moment is Redis' own.
    """
    broken = []
    after: list[float] = []
    on_views = 0
    ends = {circuit: _openings(books, circuit) for circuit in {era.circuit for era in books.eras}}
    for call in books.calls():
        if not call.is_held:
            continue
        on_views += 1
        ended_at = _end_of_epoch(ends[call.circuit], call, books.eras)
        if ended_at is None or call.began_at <= ended_at:
            continue
        after.append(call.began_at - ended_at)
        if after[-1] > books.staleness + CLOCK_STEP_MS / 1000 and not _is_around_failover(books, call):
            broken.append(
                f"{call.process} call {call.number} on {call.circuit} began {after[-1]:.3f} s after its "
                f"epoch {call.epoch} was over, and was let through; {books.staleness:g} s are allowed"
            )
    after.sort()
    figures: dict[str, float | str] = {
        "too late": len(broken),
        "calls on views": on_views,
        "after the end of their epoch": len(after),
        "latest, s": after[-1] if after else 0.0,
        "p50, s": quantile(after, 0.5),
        "staleness": books.staleness,
    }
    return Verdict(7, "calls let through on a view that was too old", figures, broken)


def _openings(books: Books, circuit: str) -> list[int]:
    """Return the moments when the circuit was closed no longer, Unix milliseconds."""
    return sorted(
        int(number.partition("-")[0])
        for era in books.eras
        if era.circuit == circuit
        for number, fields in era.events
        if fields["from"] == "closed" != fields["to"]
    )


def _end_of_epoch(openings: list[int], call: Call, eras: list[CircuitEra]) -> float | None:
    """Return when the epoch was over, Unix seconds; None for one that was not."""
    # Calls are let through on views of a closed circuit only. An epoch is named by the microsecond in which
    # it began; what is told of that beginning may bear a later one.
    following = bisect_right(openings, call.epoch // 1000)
    ends = [openings[following] / 1000] if following < len(openings) else []
    ends += [
        era.ended_us / 1e6
        for era in eras
        if era.circuit == call.circuit and not era.is_last and era.began_us < call.epoch <= era.ended_us
    ]
    return min(ends, default=None)


def _is_around_failover(books: Books, call: Call) -> bool:
    return any(since <= call.began_at <= until + books.staleness for since, until in books.failovers)
