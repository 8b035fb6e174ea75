"""Honest books of a fault run, small enough to be written by hand, for falsifying them."""

from __future__ import annotations

from era_keeper import CircuitEra
from fault_books import ARRIVED, Ask, Batch, Books, Call, Process, Served
from fault_injector import Act
from fault_terms import NAMES
from fleet import History

NAME = NAMES[1]  # one probe at once
EPOCH = 1_000_000_000
OLD_EPOCH = 998_000_000
"""Of a closed circuit, until it opened at EPOCH."""
NEW_EPOCH = 1_000_500_000
"""From when it was closed again."""
MOVES = (("closed", "open"), ("open", "half_open"), ("half_open", "closed"))
WHYS = ("failure_threshold", "open_timeout_over", "success_threshold")


def honest_books() -> Books:
    """A call of each outcome, a probe, rejections with and without Redis, one settlement, one lost call."""
    process = Process("worker0.1", is_ended=True)
    killed = Process("worker1.1", is_killed=True)
    for number, outcome in enumerate(("success", "failure", "ignored", "released", "success")):
        is_probe = number == 4
        token = f"probe:t{number}" if is_probe else f"t{number}"
        _admit(process, number, token, EPOCH + 20 * is_probe, outcome, is_probe=is_probe)
    _admit(killed, 0, "k0", EPOCH, "")
    process.asks[90] = Ask(90, 90, "t90", NAME, 1000.35, "rejected", EPOCH + 10, 1000.351)
    process.calls[90] = Call(
        "worker0.1", 90, NAME, 1000.35, result="rejected", over_at=1000.351, was_rejected_by_redis=True
    )
    process.calls[91] = Call("worker0.1", 91, NAME, 1002.0, result="rejected", over_at=1002.001)
    process.away = [(NAME, 1001.9, 1002.2)]
    counts = {"success": 0, "failure": 0, "rejected": 1, "ignored": 0, "released": 0}
    process.batches["b1"] = Batch("worker0.1", NAME, "b1", counts, 1002.2, ["settled"])
    era = CircuitEra(NAME, EPOCH - 1, EPOCH + 10_000_000_000, is_last=True)
    era.fields = {
        "state": "closed", "successful_calls": "2", "failed_calls": "1", "ignored_calls": "1",
        "released_calls": "1", "rejected_calls": "2", "lost_calls": "1", "closed_to_open": "1",
        "open_to_half_open": "1", "half_open_to_closed": "1",
    }  # fmt: skip
    for number, ((before, after), why) in enumerate(zip(MOVES, WHYS, strict=True)):
        era.events.append((f"{number}-0", {"from": before, "to": after, "why": why}))
    era.events.append(("8-0", {"from": "closed", "to": "closed", "why": "was_away", "batch": "b1"}))
    era.events.append(("9-0", {"from": "closed", "to": "closed", "why": "enable", "reason": "act 0"}))
    era.polls = [(EPOCH, 0), (EPOCH + 10, 1), (EPOCH + 30, 3)]
    books = Books({"worker0.1": process, "worker1.1": killed}, eras=[era])
    books.served = [Served(NAME, "probe:t4", True, False, EPOCH + 20, 1000.4, 1000.5)]
    books.injected.acts = [Act(NAME, "enable", "act 0", done=True)]
    books.history = History(killed={"worker1.1": 1003.0})
    books.recovery_seconds = 0.5
    return books


def _admit(
    process: Process, number: int, token: str, epoch: int, outcome: str, *, is_probe: bool = False
) -> None:
    at = 1000.0 + number / 10
    verdict = "probe" if is_probe else "admitted"
    process.asks[number] = Ask(number, number, token, NAME, at, verdict, epoch, at + 0.001)
    process.calls[number] = Call(
        process.name, number, NAME, at, token, epoch, is_probe=is_probe, asked_at=at, outcome=outcome,
        ended_at=at + 0.01, result=outcome, admit_wait=0.001, report_wait=0.001, over_at=at + 0.02,
        reports=[("counted", at + 0.02)] if outcome else [],
    )  # fmt: skip


def honest_books_of_views() -> Books:
    """The same, with calls on views: some were told in answered batches, and some were lost with a worker."""
    books = honest_books()
    books.staleness = 0.1
    process, killed = worker(books), books.processes["worker1.1"]
    for number, outcome in ((300, "success"), (301, "ignored"), (302, "failure")):
        let_through(process, number, outcome, 998.0 + number / 1000)
    let_through(process, 303, "success", 1000.05)  # the circuit opened 0.05 s before
    let_through(killed, 310, "success", 998.31)
    let_through(killed, 311, "success", 1002.9, NEW_EPOCH)
    _tell(process, "h1", {"success": 2, "ignored": 1, "failure": 1}, 1000.2, ["unanswered", "repeated"])
    _tell(killed, "h2", {"success": 1}, 1002.5, ["counted"])
    _tell(killed, "h3", {"success": 1}, 1002.95, ["unanswered"])
    for number, at_ms in enumerate((EPOCH // 1000, EPOCH // 1000 + 400, NEW_EPOCH // 1000)):
        books.eras[0].events[number] = (f"{at_ms}-0", books.eras[0].events[number][1])
    books.eras[0].batches = {"h1"}
    books.eras[0].began_us = OLD_EPOCH - 1
    for field, more in (("successful_calls", 3), ("ignored_calls", 1), ("failed_calls", 1)):
        fields(books)[field] = str(int(fields(books)[field]) + more)
    return books


def let_through(process: Process, number: int, outcome: str, at: float, epoch: int = OLD_EPOCH) -> None:
    process.calls[number] = Call(
        process.name, number, NAME, at, f"view{number}", epoch, is_held=True, outcome=outcome,
        ended_at=at + 0.01, result=outcome, over_at=at + 0.02,
    )  # fmt: skip


def _tell(process: Process, name: str, counts: dict[str, int], at: float, verdicts: list[str]) -> None:
    all_counts = {"success": 0, "failure": 0, "rejected": 0, "ignored": 0, "released": 0} | counts
    epochs = {OLD_EPOCH} if set(verdicts) & ARRIVED else set()
    process.batches[name] = Batch(
        process.name, NAME, name, all_counts, at, verdicts, is_held=True, epochs=epochs
    )


def held(books: Books) -> Batch:
    return worker(books).batches["h1"]


def worker(books: Books) -> Process:
    return books.processes["worker0.1"]


def first(books: Books) -> Call:
    return worker(books).calls[0]


def fields(books: Books) -> dict[str, str]:
    return books.eras[0].fields
