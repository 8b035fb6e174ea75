"""Invariants of single calls: none fails because of the breaker (1), none waits long for Redis (5)."""

from __future__ import annotations

from collections.abc import Iterable

from fault_books import Books, Call
from fault_terms import (
    OUTCOMES,
    REDIS_RETRY_INTERVAL,
    REDIS_TIMEOUT,
    THREADS_PER_WORKER,
    WAIT_SLACK,
)
from fault_verdicts import Verdict, quantile

Window = tuple[float, float]
MARGIN = 0.1
"""Seconds around a window of signals: what is recorded by one process befalls another a little later."""


def no_call_fails_because_of_the_breaker(books: Books) -> Verdict:
    """Every call came to its function's result or own exception, or to an honest rejection."""
    broken = []
    calls = rejected = in_flight = 0
    for process in books.processes.values():
        if not process.is_killed and not process.is_ended:
            broken.append(f"{process.name} was not killed and did not end by itself")
        for call in process.calls.values():
            calls += 1
            rejected += call.result == "rejected"
            if not call.result:
                in_flight += 1
                if not process.is_killed:
                    broken.append(f"{process.name} call {call.number} on {call.circuit} never came to an end")
            elif call.result == "rejected":
                if call.is_admitted:
                    broken.append(f"{process.name} call {call.number} was admitted and rejected")
            elif call.result not in OUTCOMES or call.result != call.outcome:
                broken.append(
                    f"{process.name} call {call.number} on {call.circuit} came to {call.result!r} "
                    f"({call.detail}), and its function to {call.outcome or 'nothing'!r}"
                )
    broken += [f"{name} did not leave when it was told to" for name in books.history.stuck]
    broken += [f"{name} complained: {text[-2000:]}" for name, text in books.complaints.items()]
    figures = {
        "failed": len(broken),
        "calls": calls,
        "honest rejections": rejected,
        "in flight in killed workers": in_flight,
    }
    return Verdict(1, "calls that failed because of the breaker", figures, broken)


def no_wait_is_long(books: Books, scheduling: float = WAIT_SLACK) -> Verdict:
    """No admission and no report waits longer than `redis_timeout` and scheduling; few wait at all.

    Waits of a worker that was stopped meanwhile are not looked at. A call that waits more than half of
    `redis_timeout` while its process is away from Redis is one that asks whether it is back: one per retry
    interval, besides those that were under way when Redis went.
    """
    bound = REDIS_TIMEOUT + scheduling
    broken = []
    waits: list[float] = []
    both: list[float] = []
    lags = [0.0]
    waited = 0
    away_seconds = allowed = 0.0
    for process in books.processes.values():
        stops = [(since, until) for name, since, until in books.history.stopped if name == process.name]
        lags += [
            lag
            for lag, at in process.lags
            if not any(since - MARGIN < at and at - lag < until + MARGIN for since, until in stops)
        ]
        windows = _merged((since, until) for _, since, until in process.away)
        away_seconds += sum(until - since for since, until in windows)
        allowed += sum(
            (until - since) / REDIS_RETRY_INTERVAL + THREADS_PER_WORKER + 1 for since, until in windows
        )
        for call in process.calls.values():
            if not call.result or _overlaps(call, stops):
                continue
            waits += [call.admit_wait, call.report_wait]
            both.append(call.admit_wait + call.report_wait)
            for half, wait in (("admission", call.admit_wait), ("report", call.report_wait)):
                if wait > bound:
                    broken.append(
                        f"{process.name} call {call.number} on {call.circuit} at {call.began_at:.3f} "
                        f"waited {wait:.3f} s for its {half}"
                    )
            waited += max(call.admit_wait, call.report_wait) > REDIS_TIMEOUT / 2 and _overlaps(call, windows)
    if waited > allowed:
        broken.append(f"{waited} calls waited while Redis was away; at most {allowed:.0f} may")
    waits.sort()
    figures: dict[str, float | str] = {
        "longest": waits[-1] if waits else 0.0,
        "bound": f"{REDIS_TIMEOUT} + {scheduling} of scheduling",
        "p50": quantile(waits, 0.5),
        "p99": quantile(waits, 0.99),
        "longest of a call's two waits together": max(both, default=0.0),
        "calls that waited per second of outage and process": waited / away_seconds if away_seconds else 0.0,
        "seconds of outage, all processes": away_seconds,
        "worst scheduling lag seen": max(lags),
    }
    return Verdict(5, "longest wait for Redis, s", figures, broken)


def _merged(windows: Iterable[Window]) -> list[Window]:
    merged: list[Window] = []
    for since, until in sorted(windows):
        if merged and since <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(until, merged[-1][1]))
        else:
            merged.append((since, until))
    return merged


def _overlaps(call: Call, windows: list[Window]) -> bool:
    return any(since - MARGIN < call.over_at and call.began_at < until + MARGIN for since, until in windows)
