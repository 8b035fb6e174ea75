"""Invariant 4: only allowed transitions, each with one tally and one event, and epochs that only grow."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

from era_keeper import CircuitEra
from fault_books import Books
from fault_terms import NAMES
from fault_verdicts import Verdict

from sharedbreaker.circuit.state import TRANSITIONS

REASONS = {
    "closed_to_open": {"failure_threshold", "force_open"},
    "open_to_half_open": {"open_timeout_over", "hold_over"},
    "half_open_to_closed": {"success_threshold", "force_close", "disable"},
    "half_open_to_open": {"probe_failed", "force_open"},
    "open_to_closed": {"force_close", "disable"},
}
REASONS_TO_STAY = {"declared", "was_away", "force_open", "force_close", "disable", "enable"}


def transitions_are_allowed(books: Books) -> Verdict:
    """An era's events are one way through the states, its tallies count them, its epochs tell them apart."""
    broken: list[str] = []
    moves: Counter[str] = Counter()
    epochs = 0
    for era in books.eras:
        moves += _look_at_events(era, broken)
        _look_at_polls(era, broken)
    for name in NAMES:
        epochs += _look_at_epochs(books, name, broken)
    _look_at_acts(books, broken)
    figures: dict[str, float | str] = {
        "broken": len(broken),
        **moves,
        "epochs": epochs,
        "manual acts": len(books.injected.acts),
    }
    return Verdict(4, "transitions that are not allowed, not tallied or without an event", figures, broken)


def _look_at_events(era: CircuitEra, broken: list[str]) -> Counter[str]:
    """Compare an era's events with each other and with its tallies."""
    moves: Counter[str] = Counter()
    state = "closed"
    for number, fields in era.events:
        before, after, why = fields["from"], fields["to"], fields["why"]
        move = f"{before}_to_{after}"
        if before != state:
            broken.append(f"{era.circuit} event {number}: begins in {before}, and it was {state}")
        state = after
        if before == after:
            if why not in REASONS_TO_STAY:
                broken.append(f"{era.circuit} event {number}: {move} because of {why!r}")
            continue
        moves[move] += 1
        if why not in REASONS.get(move, ()):
            broken.append(f"{era.circuit} event {number}: {move} because of {why!r}")
    for transition in TRANSITIONS:
        tallied = int(era.fields.get(transition.name, 0))
        if tallied != moves[transition.name]:
            broken.append(
                f"{era.circuit}: {transition.name} was tallied {tallied} times, and has "
                f"{moves[transition.name]} events"
            )
    if era.fields and era.fields["state"] != state:
        broken.append(f"{era.circuit}: ended {era.fields['state']}, and its events end in {state}")
    return moves


def _look_at_polls(era: CircuitEra, broken: list[str]) -> None:
    """See that the epoch grew where a transition was tallied in between, and stood still where none was."""
    for (epoch, moves), (next_epoch, next_moves) in pairwise(era.polls):
        if next_moves < moves or next_epoch - epoch < next_moves - moves:
            broken.append(f"{era.circuit}: epoch {epoch} to {next_epoch} in {next_moves - moves} transitions")
        elif next_moves == moves and next_epoch != epoch:
            broken.append(f"{era.circuit}: epoch {epoch} to {next_epoch} without a transition")
    for epoch, _ in era.polls:
        if not era.began_us <= epoch <= era.ended_us:
            broken.append(f"{era.circuit}: epoch {epoch} is of another era")


def _look_at_epochs(books: Books, circuit: str, broken: list[str]) -> int:
    """See that an epoch is of one state only, and that no process' epochs go back. Return their number."""
    kinds: dict[int, set[str]] = defaultdict(set)
    for process in books.processes.values():
        asks = sorted(
            (ask for ask in process.asks.values() if ask.circuit == circuit and ask.epoch),
            key=lambda ask: ask.sent_at,
        )
        highest, answered, failovers = 0, 0.0, 0
        for ask in asks:
            kinds[ask.epoch].add(ask.verdict)
            if _failovers_before(books, ask.sent_at) != failovers:
                failovers, highest = _failovers_before(books, ask.sent_at), 0
            # Threads of one process ask side by side; only a question sent after an answer is later than it.
            if ask.sent_at > answered and ask.epoch < highest and not _in_failover(books, ask.sent_at):
                broken.append(f"{circuit}: {process.name} saw epoch {ask.epoch} after {highest}")
            if ask.epoch > highest:
                highest, answered = ask.epoch, ask.answered_at
    for epoch, verdicts in kinds.items():
        if {"admitted", "probe"} <= verdicts:
            broken.append(f"{circuit}: epoch {epoch} was both closed and half-open")
    return len(kinds)


def _failovers_before(books: Books, moment: float) -> int:
    """Return how many have begun or ended: epochs before and after either need not agree."""
    return sum((since <= moment) + (until <= moment) for since, until in books.failovers)


def _in_failover(books: Books, moment: float) -> bool:
    return any(since <= moment <= until for since, until in books.failovers)


def _look_at_acts(books: Books, broken: list[str]) -> None:
    """See that each manual act that was acknowledged has one event, and no other act has two."""
    seen = Counter(
        (era.circuit, fields["why"], fields.get("reason", ""))
        for era in books.eras
        for _, fields in era.events
        if fields["why"] in {"force_open", "force_close", "disable", "enable"}
    )
    for act in books.injected.acts:
        times = seen[act.circuit, act.kind, act.reason]
        if times != 1 and (act.done or times > 1) and not _in_failover(books, act.at):
            broken.append(f"{act.circuit}: {act.kind} ({act.reason}) has {times} events, done: {act.done}")
