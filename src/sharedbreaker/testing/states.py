"""Circuits in the state that a test is about, without the calls that would bring it about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from sharedbreaker.base_breaker import BaseBreaker
from sharedbreaker.circuit.control import Act
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.report import report_of
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.circuit.state import CircuitMode
from sharedbreaker.store.process import this_process
from sharedbreaker.store.steps import walk
from sharedbreaker.testing.in_process import InProcessCircuits

B = TypeVar("B", bound=BaseBreaker)

BY_A_TEST = "for a test"
MOST_FAILURES = 1000
"""What fills the largest window of calls; where more failures in a row are asked for, it is those."""


def snapshot_of(breaker: BaseBreaker) -> Snapshot:
    """Return the circuit of either kind of breaker at one instant; raise StoreError without Redis."""
    return walk(breaker._store.snapshot(), breaker._link)  # noqa: SLF001 - one of us


@contextmanager
def held_open(breaker: B, seconds: float | timedelta | None = None) -> Iterator[B]:
    """Have ``breaker`` reject every call in the block. Afterwards its circuit is closed, with no failures.

    ``seconds`` is how long the circuit would stay so, and what CircuitBreakerError has as ``retry_after``.
    None means for ever, and a ``retry_after`` of None.
    """
    _control(breaker, Act.FORCE_OPEN, seconds)
    try:
        yield breaker
    finally:
        _control(breaker, Act.FORCE_CLOSE)


@contextmanager
def let_through(breaker: B) -> Iterator[B]:
    """Have ``breaker`` let every call in the block run, whatever fails. Afterwards its circuit is closed."""
    _control(breaker, Act.DISABLE)
    try:
        yield breaker
    finally:
        _control(breaker, Act.ENABLE)


def always_rejecting(breaker: B) -> B:
    """Return ``breaker``, which from now on rejects every call, in this process and without Redis."""
    InProcessCircuits().take(breaker)
    _control(breaker, Act.FORCE_OPEN)
    return breaker


def always_passing(breaker: B) -> B:
    """Return ``breaker``, which from now on lets every call run, in this process and without Redis."""
    InProcessCircuits().take(breaker)
    _control(breaker, Act.DISABLE)
    return breaker


def trip(breaker: BaseBreaker, error: Exception | None = None) -> None:
    """Open the closed circuit of ``breaker`` as its service would: by as many failures as its rules take.

    Where there is a rule for slow calls, they are as slow as that asks for.

    Args:
        breaker: either kind.
        error: what the service is taken to have failed with. It lends its name to the history, and
            ``retry_after_of`` is asked about it. Default: a failure without a name.

    Raises:
        ValueError: ``error`` is no failure to this breaker, or failures of this process do not open it, as
            where it is disabled or has ``minimum_reporters``.
        CircuitBreakerError: the circuit was not closed.

    """
    outcome, retry_after = (Outcome.FAILURE, None) if error is None else breaker._judge(error)  # noqa: SLF001
    if outcome is not Outcome.FAILURE:
        raise ValueError(
            f"circuit {breaker.name!r}: {type(error).__name__} does not count as a failure there"
        )
    before = snapshot_of(breaker)
    if before.mode is CircuitMode.DISABLED:
        raise ValueError(
            f"circuit {breaker.name!r} is disabled, and opens for no failure; enable() ends that"
        )
    store, link = breaker._store, breaker._link  # noqa: SLF001
    slow_ms = before.count("slow_call_duration_ms") or None
    most = max(before.count("failure_threshold"), MOST_FAILURES)
    for _ in range(most):
        admission = walk(store.admit(this_process().new_token()), link).granted()
        report = report_of(admission, outcome, error, retry_after)
        if walk(store.report(report._replace(duration_ms=slow_ms)), link):
            return
    raise ValueError(
        f"circuit {breaker.name!r}: {most} failures of one process did not open it; held_open() holds it open"
    )


def _control(breaker: BaseBreaker, act: Act, seconds: float | timedelta | None = None) -> None:
    reason = None if act is Act.ENABLE else BY_A_TEST
    walk(breaker._store.control(act, None, reason, seconds), breaker._link)  # noqa: SLF001
