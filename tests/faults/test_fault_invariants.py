"""Each invariant says that it is broken when the books are falsified: a test that cannot fail is a defect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from era_keeper import CircuitEra
from fault_books import ARRIVED, Ask, Batch, Books, Call, Process, Served, Unread
from fault_injector import Act
from fault_run import INVARIANTS
from fault_terms import NAMES, RECOVERY_BOUND
from fault_verdicts import Verdict
from fleet import History
from invariants_calls import no_call_fails_because_of_the_breaker, no_wait_is_long
from invariants_probes import most_at_once, no_probe_too_many, recovers_in_time
from invariants_staleness import views_are_not_too_old
from invariants_tallies import tallies_are_equal
from invariants_transitions import transitions_are_allowed

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
        _let_through(process, number, outcome, 998.0 + number / 1000)
    _let_through(process, 303, "success", 1000.05)  # the circuit opened 0.05 s before
    _let_through(killed, 310, "success", 998.31)
    _let_through(killed, 311, "success", 1002.9, NEW_EPOCH)
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


def _let_through(process: Process, number: int, outcome: str, at: float, epoch: int = OLD_EPOCH) -> None:
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


def test_honest_books_break_nothing() -> None:
    """Books in order pass every invariant, or the falsified ones would prove nothing."""
    for invariant in INVARIANTS:
        verdict = invariant(honest_books())
        assert verdict.holds, verdict


Falsification = Callable[[Books], object]


def _second_probe(books: Books, **changes: object) -> None:
    books.served.append(replace(books.served[0], token="probe:x", **changes))  # type: ignore[arg-type]


def _take_back_settlement(books: Books) -> None:
    del books.eras[0].events[3]
    worker(books).batches["b1"].verdicts.clear()


FALSIFIED: list[tuple[str, Callable[[Books], Verdict], Falsification]] = [
    ("an exception of the breaker", no_call_fails_because_of_the_breaker,
     lambda books: setattr(first(books), "result", "broken")),
    ("another outcome than the function's", no_call_fails_because_of_the_breaker,
     lambda books: setattr(first(books), "result", "failure")),
    ("a rejection after the admission", no_call_fails_because_of_the_breaker,
     lambda books: setattr(first(books), "result", "rejected")),
    ("a call without an end", no_call_fails_because_of_the_breaker,
     lambda books: setattr(first(books), "result", "")),
    ("a process that did not end", no_call_fails_because_of_the_breaker,
     lambda books: setattr(worker(books), "is_ended", False)),
    ("a process that had to be killed", no_call_fails_because_of_the_breaker,
     lambda books: books.history.stuck.append("worker0.1")),
    ("a traceback on stderr", no_call_fails_because_of_the_breaker,
     lambda books: books.complaints.update(worker0="Traceback")),
    ("two probes at once", no_probe_too_many, _second_probe),
    ("a probe that another one overlaps by a little", no_probe_too_many,
     lambda books: _second_probe(books, began_at=1000.499, ended_at=1000.6)),
    ("a local probe while Redis was there", no_probe_too_many,
     lambda books: _second_probe(books, is_local=True, epoch=5)),
    *[
        (f"one more in {field}", tallies_are_equal,
         lambda books, field=field: fields(books).update({field: str(int(fields(books)[field]) + 1)}))
        for field in ("successful_calls", "failed_calls", "ignored_calls", "released_calls",
                      "rejected_calls", "lost_calls")
    ],
    *[
        (f"one less in {field}", tallies_are_equal,
         lambda books, field=field: fields(books).update({field: str(int(fields(books)[field]) - 1)}))
        for field in ("successful_calls", "failed_calls", "ignored_calls", "released_calls",
                      "rejected_calls", "lost_calls")
    ],
    ("a call that was never reported", tallies_are_equal,
     lambda books: setattr(first(books), "reports", [])),
    ("a lease that went before its time", tallies_are_equal,
     lambda books: setattr(first(books), "reports", [("unknown", 1000.1)])),
    ("a settlement that was added twice", tallies_are_equal,
     lambda books: books.eras[0].events.append(books.eras[0].events[3])),
    ("a settlement that never arrived", tallies_are_equal,
     _take_back_settlement),
    ("a settlement of nobody's", tallies_are_equal,
     lambda books: books.eras[0].events[3][1].update(batch="b2")),
    ("a settlement of more than was decided", tallies_are_equal,
     lambda books: worker(books).batches["b1"].counts.update(success=1)),
    ("a lease that is left", tallies_are_equal,
     lambda books: books.eras[0].leases.update(k9=1.0)),
    ("a move that is not allowed", transitions_are_allowed,
     lambda books: books.eras[0].events[2][1].update({"from": "open"})),
    ("a move for a wrong reason", transitions_are_allowed,
     lambda books: books.eras[0].events[0][1].update(why="probe_failed")),
    ("a move without an event", transitions_are_allowed,
     lambda books: fields(books).update(half_open_to_open="1")),
    ("a move that was not tallied", transitions_are_allowed,
     lambda books: fields(books).update(closed_to_open="0")),
    ("a state that no event led to", transitions_are_allowed,
     lambda books: fields(books).update(state="open")),
    ("an epoch that stood still", transitions_are_allowed,
     lambda books: books.eras[0].polls.append((EPOCH + 30, 4))),
    ("an epoch that changed by itself", transitions_are_allowed,
     lambda books: books.eras[0].polls.append((EPOCH + 31, 3))),
    ("an epoch from before the data were lost", transitions_are_allowed,
     lambda books: books.eras[0].polls.insert(0, (EPOCH - 9, 0))),
    ("an epoch that went back", transitions_are_allowed,
     lambda books: _ask_once_more(books, "admitted", 2000.0)),
    ("an epoch of two states", transitions_are_allowed,
     lambda books: _ask_once_more(books, "probe", 1000.0)),
    ("an act that left no event", transitions_are_allowed,
     lambda books: books.injected.acts.append(Act(NAME, "disable", "act 1", done=True))),
    ("an act that was done twice", transitions_are_allowed,
     lambda books: books.eras[0].events.append(books.eras[0].events[4])),
    ("a long admission", no_wait_is_long, lambda books: setattr(first(books), "admit_wait", 0.6)),
    ("a long report", no_wait_is_long, lambda books: setattr(first(books), "report_wait", 0.6)),
    ("many that waited", no_wait_is_long, lambda books: _make_all_wait(worker(books))),
    ("a late recovery", recovers_in_time,
     lambda books: setattr(books, "recovery_seconds", RECOVERY_BOUND + 0.1)),
    ("no recovery", recovers_in_time, lambda books: setattr(books, "recovery_seconds", None)),
]  # fmt: skip


def _ask_once_more(books: Books, verdict: str, at: float) -> None:
    worker(books).asks[99] = Ask(99, 99, "t", NAME, at, verdict, EPOCH, at + 0.1)


def _make_all_wait(process: Process) -> None:
    for number in range(200, 210):
        process.calls[number] = replace(process.calls[0], number=number, began_at=1002.0, admit_wait=0.2)
        process.calls[number].over_at = 1002.1


@pytest.mark.parametrize(
    ("invariant", "falsify"), [case[1:] for case in FALSIFIED], ids=[case[0] for case in FALSIFIED]
)
def test_falsified_books_break_the_invariant(
    invariant: Callable[[Books], Verdict], falsify: Falsification
) -> None:
    """One falsified entry is enough to break the invariant that speaks of it."""
    books = honest_books()
    falsify(books)
    verdict = invariant(books)
    assert not verdict.holds
    assert verdict.line().startswith("FAIL")


def _take_back_batch(books: Books) -> None:
    held(books).verdicts[:] = ["unanswered"]
    held(books).epochs.clear()
    books.eras[0].batches.clear()


FALSIFIED_VIEWS: list[tuple[str, Callable[[Books], Verdict], Falsification]] = [
    *[
        (f"one {word} in {field}", tallies_are_equal,
         lambda books, field=field, by=by: fields(books).update({field: str(int(fields(books)[field]) + by)}))
        for field in ("successful_calls", "failed_calls", "ignored_calls", "rejected_calls")
        for word, by in (("more", 1), ("less", -1))
    ],
    ("a batch that was never answered", tallies_are_equal, _take_back_batch),
    ("a batch of nobody's", tallies_are_equal, lambda books: books.eras[0].batches.add("h9")),
    ("a batch of more than was decided", tallies_are_equal,
     lambda books: held(books).counts.update(success=3)),
    ("a call on a view that was never told", tallies_are_equal,
     lambda books: _let_through(worker(books), 304, "success", 998.4)),
    ("a failure on a view that was never told", tallies_are_equal,
     lambda books: _let_through(worker(books), 304, "failure", 998.4)),
    ("a killed worker that lost what it should have told", tallies_are_equal,
     lambda books: _let_through(books.processes["worker1.1"], 312, "success", 998.4)),
    ("a killed worker that lost a failure from long ago", tallies_are_equal,
     lambda books: _let_through(books.processes["worker1.1"], 312, "failure", 998.4)),
    ("a killed worker that told more than it decided", tallies_are_equal,
     lambda books: books.processes["worker1.1"].batches["h2"].counts.update(ignored=3)),
    ("a call on a view that was too old", views_are_not_too_old,
     lambda books: _let_through(worker(books), 304, "success", 1000.11)),
    ("a view from before the data were lost", views_are_not_too_old,
     lambda books: _end_era(books, OLD_EPOCH + 1000)),
]  # fmt: skip


def _end_era(books: Books, ended_us: int) -> None:
    books.eras[0].is_last = False
    books.eras[0].ended_us = ended_us


def test_honest_books_of_views_break_nothing() -> None:
    """Nor do books of processes that hold back, with a killed one that lost what it held."""
    for invariant in INVARIANTS:
        verdict = invariant(honest_books_of_views())
        assert verdict.holds, verdict
    figures = views_are_not_too_old(honest_books_of_views()).figures
    assert (figures["calls on views"], figures["after the end of their epoch"]) == (6, 1)


@pytest.mark.parametrize(
    ("invariant", "falsify"),
    [case[1:] for case in FALSIFIED_VIEWS],
    ids=[case[0] for case in FALSIFIED_VIEWS],
)
def test_falsified_books_of_views_break_the_invariant(
    invariant: Callable[[Books], Verdict], falsify: Falsification
) -> None:
    """One falsified entry is enough here as well."""
    books = honest_books_of_views()
    falsify(books)
    assert not invariant(books).holds


def test_what_the_network_saw_explains_one_rejection_too_many() -> None:
    """A rejection whose answer nobody read is tallied in Redis: one more is right then, and two are not."""
    books = honest_books()
    worker(books).asks[95] = Ask(95, 91, "t95", NAME, 1002.0, "unanswered", 0, 1002.25)
    books.unread["t95"] = [Unread("rejected", EPOCH + 10, 1002.1, is_delivered=False)]
    assert not tallies_are_equal(books).holds
    fields(books)["rejected_calls"] = "3"
    assert tallies_are_equal(books).holds
    fields(books)["rejected_calls"] = "4"
    assert not tallies_are_equal(books).holds


def test_after_failovers_only_what_was_answered_then_may_be_missing() -> None:
    """A failover explains a missing call of its own moments, and none of any other."""
    books = honest_books()
    fields(books)["successful_calls"] = "1"
    books.failovers = [(1000.39, 1000.6)]
    assert tallies_are_equal(books).holds
    books.failovers = [(1001.39, 1001.6)]
    assert not tallies_are_equal(books).holds
    fields(books)["successful_calls"] = "3"
    assert not tallies_are_equal(books).holds


def test_intervals_that_only_touch_are_not_at_once() -> None:
    """A probe that begins when another ends is not in flight with it."""
    assert most_at_once([(0.0, 1.0), (1.0, 2.0)]) == 1
    assert most_at_once([(0.0, 1.1), (1.0, 2.0), (1.05, 3.0)]) == 3
