"""Invariants of recovery: no more probes at once than allowed (2), and closed in time (6)."""

from __future__ import annotations

from collections import defaultdict

from fault_books import Books, Call, Served
from fault_terms import LONGEST_CALL, NAMES, PROBE_TIMEOUT, RECOVERY_BOUND, TERMS_OF
from fault_verdicts import Verdict

MARGIN = LONGEST_CALL + 0.1
"""A call that a process admitted by itself may last so much longer than its being away from Redis."""

Interval = tuple[float, float]


def no_probe_too_many(books: Books) -> Verdict:
    """At no time are more of one half-open period's probes at the upstream than the settings allow.

    A period is told by its epoch. A probe counts from the upstream's beginning to its end, and not beyond its
    lease: whose holder is stopped for longer has given its place away. Probes that a process allowed itself
    while Redis was away are its own; where no process was away, there may be none.
    """
    broken = []
    probes = most = most_together = 0
    calls = {(call.circuit, call.token): call for call in books.calls() if call.is_probe}
    for name in NAMES:
        allowed = TERMS_OF[name].half_open_max_calls
        away = _away(books, name)
        shared = defaultdict(list)
        for served in books.served:
            if served.circuit != name or not served.is_probe:
                continue
            if served.is_local:
                if not any(since <= served.began_at <= until for since, until in away):
                    broken.append(f"{name}: {served.token} was let through locally and Redis was there")
                continue
            probes += 1
            if _may_be_forgotten(books, served):
                continue
            interval = _in_flight(served, calls.get((name, served.token)))
            if interval is not None:
                shared[served.epoch].append(interval)
        for epoch, intervals in shared.items():
            at_once = most_at_once(intervals)
            most = max(most, at_once - allowed)
            if at_once > allowed:
                broken.append(f"{name}: {at_once} probes of epoch {epoch} at once, {allowed} are allowed")
        together = [interval for intervals in shared.values() for interval in intervals]
        most_together = max(most_together, most_at_once(together) - allowed)
    figures = {
        "beyond": max(0, most),
        "probes": probes,
        "with those of earlier half-open periods": max(0, most_together),
    }
    return Verdict(2, "probes at the upstream at once beyond what is allowed", figures, broken)


def _away(books: Books, circuit: str) -> list[Interval]:
    return [
        (since - MARGIN, until + MARGIN)
        for process in books.processes.values()
        for name, since, until in process.away
        if name == circuit
    ] + [(since - MARGIN, until + MARGIN) for since, until in books.failovers]


def _may_be_forgotten(books: Books, served: Served) -> bool:
    """Return whether a failover may have taken the probe's lease: then another has its place."""
    return any(since <= served.began_at <= until for since, until in books.failovers)


def _in_flight(served: Served, call: Call | None) -> Interval | None:
    lease_ends = (call.asked_at if call else served.began_at) + PROBE_TIMEOUT
    ends = min(served.ended_at, lease_ends)
    return (served.began_at, ends) if ends > served.began_at else None


def most_at_once(intervals: list[Interval]) -> int:
    """Return how many intervals overlap at most. One that ends where another begins does not overlap it."""
    steps = sorted([(ends, -1) for _, ends in intervals] + [(begins, 1) for begins, _ in intervals])
    now = most = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


def recovers_in_time(books: Books) -> Verdict:
    """After the last fault every circuit is closed within timeout and probe lease."""
    figures: dict[str, float | str] = {
        "took": books.recovery_seconds if books.recovery_seconds is not None else "never",
        "bound": RECOVERY_BOUND,
    }
    broken = []
    if books.recovery_seconds is None:
        broken.append("not every circuit closed again with a healthy upstream")
    elif books.recovery_seconds > RECOVERY_BOUND:
        broken.append(f"it took {books.recovery_seconds:.3f} s, at most {RECOVERY_BOUND:.3f} may pass")
    return Verdict(6, "seconds from the last fault to all closed", figures, broken)
