"""Invariant 3: what Redis tallied is what the clients counted.

It is compared era by era (see `era_keeper`), each call by the token of its admission. In an era's tallies are

* each call whose report Redis answered ``counted`` or ``late``: these are certain;
* each settlement of which the era has an event: the batch is named there, so a settlement is known to have
been added even where its answer was lost. What settlements add up to is compared with what each process
decided by itself, as well;
* each batch of what was held back that was answered in the era, or whose name is there at its end: Redis
  keeps a name until it was told that no copy of the batch is under way;
* a call whose report was sent and not answered, if its lease is gone by the time of the next answer or of the
  era's last instant, and was not over by then: its report was counted, nothing else removes a lease;
* perhaps a call whose report was sent and not answered, if its lease may have been over: it was either
tallied or lost. These are the undecided; there are few, since only a probe's lease or a killed worker's is
short.

All others have no outcome in Redis: they are in flight in a killed worker, their lease ran out, or it went
with the data. The first two are among ``lost_calls``, one by one.

Two things are known not to be exact, since no client can know them: a rejection whose answer was lost is
tallied by Redis, and once more by whoever decided instead; and an admission whose answer was lost may leave a
lease that is lost. The network between them does know, so both are compared exactly as well: to the clients'
rejections are added those that the network saw and could not deliver. Only where Redis took a question and
went away before it answered is the answer unknown to all; these are the open questions.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from era_keeper import CircuitEra
from fault_books import Ask, Books, Call
from fault_terms import LEASE_TIMEOUT, OUTCOMES, PROBE_TIMEOUT, TALLY_OF
from fault_verdicts import Verdict
from settlements import compare_settlements
from tallies_after_failovers import tallies_after_failovers

CLOCK_STEP = 0.002
"""Redis counts in whole milliseconds."""


@dataclass
class Count:
    """The clients' own count of one circuit in one era."""

    certain: Counter[str] = field(default_factory=Counter)
    undecided: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    """Calls whose lease is known to have run out, or that will."""
    in_killed: int = 0
    """Of these and the undecided, those in flight in a killed worker."""
    unread: Counter[str] = field(default_factory=Counter)
    """Verdicts on admissions that their askers never read."""
    open_questions: int = 0
    """Questions whose answer nobody knows."""


def tallies_are_equal(books: Books) -> Verdict:
    """Each era's tallies are the clients' count, and each process has settled what it decided by itself."""
    broken: list[str] = []
    totals: Counter[str] = Counter()
    if books.failovers:
        return tallies_after_failovers(books)
    for era in books.eras:
        count = count_of(books, era, broken)
        for kind, tally_field in TALLY_OF.items():
            tallied = int(era.fields.get(tally_field, 0))
            certain = count.certain[kind]
            spare = count.undecided[kind]
            if kind == "rejected":
                certain += count.unread["rejected"]
                spare = count.open_questions
            totals[f"{kind} in Redis"] += tallied
            if not certain <= tallied <= certain + spare:
                broken.append(
                    f"{era.circuit}, era from {era.began_us / 1e6:.3f}: {tally_field} is {tallied}, "
                    f"the clients counted {certain} and {spare} undecided"
                )
        _compare_lost(era, count, broken)
        totals["undecided"] += count.undecided.total()
        totals["lost"] += int(era.fields.get("lost_calls", 0))
        totals["in flight in killed workers"] += count.in_killed
        totals["rejections tallied twice, answer lost"] += count.unread["rejected"]
        totals["open questions"] += count.open_questions
    for process in books.processes.values():
        totals["unsettled in killed workers"] += compare_settlements(books, process, broken)
    figures: dict[str, float | str] = {
        "differences": len(broken),
        **totals,
        "eras of data": len({era.began_us for era in books.eras}),
    }
    return Verdict(3, "tallies in Redis against the clients' count", figures, broken)


def count_of(books: Books, era: CircuitEra, broken: list[str]) -> Count:
    """Return the clients' count of an era."""
    count = Count()
    for process in books.processes.values():
        looked_up: set[str] = set()
        answered = {ask.token for ask in process.asks.values() if ask.epoch}
        for call in process.calls.values():
            is_shared = call.circuit == era.circuit and call.is_admitted and not call.is_local
            is_shared = is_shared and not call.is_held
            if is_shared and _is_in(era, call.epoch):
                _count_call(count, era, call, is_killed=process.is_killed, broken=broken)
        for ask in process.asks.values():
            if ask.circuit != era.circuit:
                continue
            if ask.verdict == "rejected" and _is_in(era, ask.epoch):
                count.certain["rejected"] += 1
            elif ask.verdict == "unanswered" and ask.token not in looked_up:
                looked_up.add(ask.token)
                _count_unread(count, books, era, ask, was_read=ask.token in answered)
            elif ask.verdict in {"admitted", "probe"} and process.is_killed and _is_in(era, ask.epoch):
                # Killed between the answer and the next line of its books: in flight.
                admitted = process.calls[ask.call].is_admitted
                count.lost += not admitted
                count.in_killed += not admitted
    _count_batches(count, books, era, broken)
    _count_held_back(count, books, era, broken)
    return count


def _count_call(count: Count, era: CircuitEra, call: Call, *, is_killed: bool, broken: list[str]) -> None:
    verdicts = [verdict for verdict, _ in call.reports]
    if "counted" in verdicts or "late" in verdicts:
        count.certain[call.outcome] += 1
        if "counted" in verdicts and len(verdicts) - verdicts.index("counted") > 1:
            broken.append(f"{call.process} call {call.number} was counted and reported again: {verdicts}")
        return
    is_answered = "unknown" in verdicts
    if not is_answered and not is_killed and era.is_last:
        broken.append(f"{call.process} call {call.number} on {call.circuit} was never reported: {verdicts}")
    if call.token in era.leases:
        count.lost += era.is_last
        count.in_killed += is_killed and era.is_last
        return
    was_sent = "unanswered" in verdicts or (is_killed and bool(call.outcome) and not is_answered)
    lease_ends = call.asked_at + (PROBE_TIMEOUT if call.is_probe else LEASE_TIMEOUT) - CLOCK_STEP
    known_at = min([at for verdict, at in call.reports if verdict == "unknown"] + [era.ended_us / 1e6])
    if not was_sent:
        if known_at < lease_ends and (era.is_last or is_answered):
            broken.append(
                f"{call.process} call {call.number} on {call.circuit}: its lease is gone before its time, "
                f"and it was never reported before: {verdicts}"
            )
        count.lost += 1
        count.in_killed += is_killed
    elif known_at < lease_ends:
        count.certain[call.outcome] += 1
    else:
        count.undecided[call.outcome] += 1
        count.in_killed += is_killed


def _count_unread(count: Count, books: Books, era: CircuitEra, ask: Ask, *, was_read: bool) -> None:
    """Count what Redis said to a question whose answer was not read, as far as the network knows."""
    for unread in books.unread.get(ask.token, ()):
        if unread.is_delivered and was_read:
            continue  # the answer to the same question, asked once more
        if _is_in(era, unread.epoch):
            count.unread[unread.verdict] += 1
        elif unread.verdict == "?" and _is_during(era, ask.sent_at, unread.at):
            count.open_questions += 1


def _count_batches(count: Count, books: Books, era: CircuitEra, broken: list[str]) -> None:
    batches = {name: batch for process in books.processes.values() for name, batch in process.batches.items()}
    seen: set[str] = set()
    for number, fields in era.events:
        name = fields.get("batch", "")
        if not name:
            continue
        if name not in batches:
            broken.append(f"{era.circuit} event {number}: the batch {name} was sent by nobody")
        elif name in seen:
            broken.append(
                f"{era.circuit} event {number}: the batch {name} of {batches[name].process} was added again: "
                f"{batches[name].counts}, answers {batches[name].verdicts}"
            )
        else:
            count.certain.update(batches[name].counts)
        seen.add(name)


def _count_held_back(count: Count, books: Books, era: CircuitEra, broken: list[str]) -> None:
    """Count each batch of the era once, by its name or by the epochs of its answers."""
    held = {
        name: batch
        for process in books.processes.values()
        for name, batch in process.batches.items()
        if batch.is_held and batch.circuit == era.circuit
    }
    for name, batch in held.items():
        if name in era.batches or any(_is_in(era, epoch) for epoch in batch.epochs):
            count.certain.update(batch.counts)
    broken += [f"{era.circuit}: the batch {name} was sent by nobody" for name in era.batches - set(held)]


def _compare_lost(era: CircuitEra, count: Count, broken: list[str]) -> None:
    """See that each call without an outcome is lost, and no other but what unanswered questions left."""
    tallied = int(era.fields.get("lost_calls", 0))
    outcomes = sum(int(era.fields.get(TALLY_OF[kind], 0)) for kind in OUTCOMES)
    undecided_lost = sum(count.certain[kind] + count.undecided[kind] for kind in OUTCOMES) - outcomes
    known = count.lost + undecided_lost
    left = len(era.leases) if era.is_last else 0
    if era.is_last and left:
        broken.append(f"{era.circuit}: {left} leases are left though their time is over: {list(era.leases)}")
    # In an era that was cut short, a known lease may have been there still.
    least = known if era.is_last else 0
    spare = count.unread["admitted"] + count.unread["probe"] + count.open_questions
    if not least <= tallied + left <= known + spare:
        broken.append(
            f"{era.circuit}, era from {era.began_us / 1e6:.3f}: {tallied} calls are lost, the clients know "
            f"of {known} and of {spare} admissions that were not answered"
        )


def _is_in(era: CircuitEra, epoch: int) -> bool:
    return era.began_us < epoch <= era.ended_us


def _is_during(era: CircuitEra, since: float, until: float) -> bool:
    return since * 1e6 <= era.ended_us and until * 1e6 >= era.began_us
