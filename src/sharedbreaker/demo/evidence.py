"""What the verdict is made from: three independent accounts of the same calls, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.circuit.state import CircuitState
from sharedbreaker.demo.circuits import Circuits, Event
from sharedbreaker.demo.google_ai_server import Books, GoogleAiServer, JournalEntry
from sharedbreaker.demo.guarded_apis import GUARDED_APIS, GuardedApi
from sharedbreaker.demo.traffic import ClientCounts, Traffic

MILLISECOND = 0.001


@dataclass(frozen=True)
class Account:
    """One service by all who have counted its calls."""

    api: GuardedApi
    clients: ClientCounts
    upstream: Books
    journal: Sequence[JournalEntry]
    """Each call as it reached the upstream."""
    circuit: Snapshot
    events: Sequence[Event]
    clock_ahead: float
    """Seconds by which Redis' clock, which dates the events, is ahead of the journal's."""

    @property
    def transitions(self) -> list[Event]:
        """The events that changed the state."""
        return [event for event in self.events if event.transition]

    def reached_while(self, state: CircuitState) -> list[JournalEntry]:
        """Return the calls that reached the upstream while the circuit was in ``state``.

        A transition is dated to the millisecond; calls of its very millisecond count where they cannot
        have come before it: a probe never comes before its circuit is half-open, whereas a call that was
        admitted before the circuit opened may arrive just then.
        """
        allowance = 0.0 if state is CircuitState.HALF_OPEN else MILLISECOND
        moments = self.transitions
        ends = [*(event.at for event in moments[1:]), math.inf]
        periods = [
            (event.at + allowance - self.clock_ahead, end - self.clock_ahead)
            for event, end in zip(moments, ends, strict=False)
            if event.after == state
        ]
        return [
            entry for entry in self.journal if any(begin <= entry.started_at < end for begin, end in periods)
        ]

    @property
    def probes(self) -> list[JournalEntry]:
        """The calls that reached the upstream while the circuit was half-open."""
        return self.reached_while(CircuitState.HALF_OPEN)


def collect(circuits: Circuits, traffic: Traffic, google_ai: GoogleAiServer) -> list[Account]:
    """Return the account of each service; raise StoreError where Redis cannot be asked."""
    clock_ahead = circuits.clock_ahead()
    return [
        Account(
            api=api,
            clients=traffic.counts(api),
            upstream=google_ai.books(api.upstream),
            journal=google_ai.journal(api.upstream),
            circuit=circuits.snapshot(api),
            events=circuits.events(api),
            clock_ahead=clock_ahead,
        )
        for api in GUARDED_APIS
    ]


def most_at_once(entries: Iterable[JournalEntry]) -> int:
    """Return the largest number of calls that were in flight at one moment."""
    # An end sorts before a beginning of the same moment.
    turns = sorted(
        turn
        for entry in entries
        for turn in (
            (entry.started_at, 1),
            (math.inf if entry.ended_at is None else entry.ended_at, -1),
        )
    )
    most = now = 0
    for _, change in turns:
        now += change
        most = max(most, now)
    return most
