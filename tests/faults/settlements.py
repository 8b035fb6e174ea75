"""What a process decided by itself against what it settled: part of invariant 3."""

from __future__ import annotations

from collections import Counter

from fault_books import Books, Process
from fault_terms import THREADS_PER_WORKER


def compare_settlements(books: Books, process: Process, broken: list[str]) -> int:
    """Compare what a process decided by itself with what it settled. Return what a killed one could not."""
    arrived = {fields["batch"] for era in books.eras for _, fields in era.events if "batch" in fields}
    own: dict[str, Counter[str]] = {}
    for call in process.calls.values():
        counter = own.setdefault(call.circuit, Counter())
        if call.is_admitted and call.is_local and call.outcome:
            counter[call.outcome] += 1
        elif call.result == "rejected" and not call.was_rejected_by_redis:
            counter["rejected"] += 1
    unsettled = 0
    for circuit, counter in own.items():
        settled: Counter[str] = Counter()
        for batch in process.batches.values():
            if batch.circuit == circuit and (batch.name in arrived or "settled" in batch.verdicts):
                settled.update(batch.counts)
        missing = counter - settled
        unsettled += missing.total()
        # A killed worker may have settled what it had not yet written down: one line for each thread.
        spare = THREADS_PER_WORKER if process.is_killed else 0
        if (settled - counter).total() > spare or (missing and not process.is_killed):
            broken.append(
                f"{process.name} on {circuit}: decided by itself {dict(counter)}, settled {dict(settled)}"
            )
    return unsettled
