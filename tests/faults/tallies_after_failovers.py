"""Invariant 3 where failovers may have taken what Redis had acknowledged.

A call is solid if neither its admission nor its report was answered around a failover: it must be tallied.
All others that came to the same may be tallied, and nothing else may be.
"""

from __future__ import annotations

from collections import Counter

from fault_books import Books
from fault_terms import TALLY_OF
from fault_verdicts import Verdict
from settlements import compare_settlements


def tallies_after_failovers(books: Books) -> Verdict:
    """Tallies lie between the solid calls and all calls, and each process has settled what it decided."""
    broken: list[str] = []
    totals: Counter[str] = Counter()
    for era in books.eras:
        solid: Counter[str] = Counter()
        shaky: Counter[str] = Counter()
        _count_calls(books, era.circuit, solid, shaky)
        _count_batches(books, era.circuit, solid, shaky)
        for kind, tally_field in TALLY_OF.items():
            tallied = int(era.fields.get(tally_field, 0))
            totals[f"{kind} in Redis"] += tallied
            if not solid[kind] <= tallied <= solid[kind] + shaky[kind]:
                broken.append(
                    f"{era.circuit}: {tally_field} is {tallied}, the clients counted {solid[kind]}, and "
                    f"{shaky[kind]} around failovers"
                )
        totals["answered around failovers"] += shaky.total()
        totals["lost"] += int(era.fields.get("lost_calls", 0))
    for process in books.processes.values():
        totals["unsettled in killed workers"] += compare_settlements(books, process, broken)
    figures: dict[str, float | str] = {
        "differences": len(broken),
        **totals,
        "failovers": len(books.failovers),
    }
    return Verdict(3, "tallies in Redis against the clients' count", figures, broken)


def _count_calls(books: Books, circuit: str, solid: Counter[str], shaky: Counter[str]) -> None:
    for process in books.processes.values():
        for call in process.calls.values():
            if call.circuit != circuit or not call.is_admitted or not call.outcome:
                continue
            if call.is_local or call.is_held:
                continue
            counted = [at for verdict, at in call.reports if verdict in {"counted", "late"}]
            is_solid = bool(counted) and not any(_is_shaky(books, at) for at in (call.asked_at, *counted))
            (solid if is_solid else shaky)[call.outcome] += 1
        for ask in process.asks.values():
            if ask.circuit == circuit and ask.verdict in {"rejected", "unanswered"}:
                is_solid = ask.verdict == "rejected" and not _is_shaky(books, ask.answered_at)
                (solid if is_solid else shaky)["rejected"] += 1


def _count_batches(books: Books, circuit: str, solid: Counter[str], shaky: Counter[str]) -> None:
    for process in books.processes.values():
        for batch in process.batches.values():
            if batch.circuit == circuit:
                is_solid = batch.is_answered and not _is_shaky(books, batch.sent_at)
                (solid if is_solid else shaky).update(batch.counts)


def _is_shaky(books: Books, moment: float) -> bool:
    return any(since <= moment <= until for since, until in books.failovers)
