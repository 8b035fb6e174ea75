"""What a process decided by itself, or on a view, against what it told: part of invariant 3."""

from __future__ import annotations

from collections import Counter

from fault_books import Books, Process
from fault_terms import THREADS_PER_WORKER, WAIT_SLACK


def compare_settlements(books: Books, process: Process, broken: list[str]) -> int:
    """Compare what a process decided without asking with what it told. Return what a killed one could not.

    A killed one may lose what it held when it last told anything, and what came to an end since then.
    """
    arrived = {fields["batch"] for era in books.eras for _, fields in era.events if "batch" in fields}
    arrived |= {name for era in books.eras for name in era.batches}
    own: dict[str, Counter[str]] = {}
    for call in process.calls.values():
        counter = own.setdefault(call.circuit, Counter())
        if call.is_admitted and (call.is_local or call.is_held) and call.outcome:
            counter[call.outcome] += 1
        elif call.result == "rejected" and not call.was_rejected_by_redis:
            counter["rejected"] += 1
    unsettled = 0
    for circuit, counter in own.items():
        settled: Counter[str] = Counter()
        for batch in process.batches.values():
            if batch.circuit == circuit and (batch.name in arrived or batch.is_answered):
                settled.update(batch.counts)
        missing = counter - settled
        unsettled += missing.total()
        if process.is_killed:
            loss = missing - may_be_lost(process, circuit)
            if loss:
                broken.append(
                    f"{process.name} on {circuit}: was killed and lost {dict(missing)}, {dict(loss)} of it "
                    "from before it last told what it held"
                )
        # A killed worker may have settled what it had not yet written down: one line for each thread.
        spare = THREADS_PER_WORKER if process.is_killed else 0
        if (settled - counter).total() > spare or (missing and not process.is_killed):
            broken.append(
                f"{process.name} on {circuit}: decided by itself {dict(counter)}, settled {dict(settled)}"
            )
    return unsettled


def may_be_lost(process: Process, circuit: str) -> Counter[str]:
    """Return the calls that a process may still have held when it was killed.

    These are the ones that were not over when it last sent a batch that was answered. A batch is on the books
    a little after it was put together; a failure is told by then, unless Redis was away.
    """
    answered = [
        batch.sent_at
        for batch in process.batches.values()
        if batch.circuit == circuit and batch.is_held and batch.is_answered
    ]
    since = max(answered, default=0.0) - WAIT_SLACK
    counter: Counter[str] = Counter()
    for call in process.calls.values():
        if call.circuit != circuit or (call.over_at and call.over_at < since):
            continue
        if call.is_admitted and (call.is_local or call.is_held) and call.outcome:
            counter[call.outcome] += 1
        elif call.result == "rejected" and not call.was_rejected_by_redis:
            counter["rejected"] += 1
    return counter
