"""Each invariant says that it is broken when the books are falsified: a test that cannot fail is a defect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from fault_books import Ask, Books, Process, Unread
from fault_injector import Act
from fault_run import INVARIANTS
from fault_terms import RECOVERY_BOUND
from fault_verdicts import Verdict
from invariants_calls import no_call_fails_because_of_the_breaker, no_wait_is_long
from invariants_probes import most_at_once, no_probe_too_many, recovers_in_time
from invariants_staleness import views_are_not_too_old
from invariants_tallies import tallies_are_equal
from invariants_transitions import transitions_are_allowed
from planted_books import (
    EPOCH,
    NAME,
    OLD_EPOCH,
    fields,
    first,
    held,
    honest_books,
    honest_books_of_views,
    let_through,
    worker,
)


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
     lambda books: let_through(worker(books), 304, "success", 998.4)),
    ("a failure on a view that was never told", tallies_are_equal,
     lambda books: let_through(worker(books), 304, "failure", 998.4)),
    ("a killed worker that lost what it should have told", tallies_are_equal,
     lambda books: let_through(books.processes["worker1.1"], 312, "success", 998.4)),
    ("a killed worker that lost a failure from long ago", tallies_are_equal,
     lambda books: let_through(books.processes["worker1.1"], 312, "failure", 998.4)),
    ("a killed worker that told more than it decided", tallies_are_equal,
     lambda books: books.processes["worker1.1"].batches["h2"].counts.update(ignored=3)),
    ("a call on a view that was too old", views_are_not_too_old,
     lambda books: let_through(worker(books), 304, "success", 1000.11)),
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
