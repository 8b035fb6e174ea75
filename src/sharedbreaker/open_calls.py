"""A call that has been admitted and is owed a report, which it gets once."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial
from time import monotonic
from typing import Any, Protocol

from sharedbreaker import observation
from sharedbreaker.circuit.admission import Admission
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.dropped_calls import DroppedCalls, dropped_calls
from sharedbreaker.open_probes import OpenProbes

Judge = Callable[[BaseException], tuple[Outcome, float | None]]
"""Says what an exception means, and how many seconds the service asked to be left alone."""


class SyncBreaker(Protocol):
    """What a call needs of a ``CircuitBreaker``."""

    name: str

    def admit(self) -> Admission: ...  # noqa: D102

    def report(  # noqa: D102
        self,
        admission: Admission,
        outcome: Outcome,
        error: BaseException | None = None,
        *,
        retry_after: float | None = None,
    ) -> None: ...


class AsyncBreaker(Protocol):
    """What a call needs of an ``AsyncCircuitBreaker``."""

    name: str

    async def admit(self) -> Admission: ...  # noqa: D102

    def release(self, admission: Admission, error: BaseException | None = None) -> None: ...  # noqa: D102

    def report(  # noqa: D102
        self,
        admission: Admission,
        outcome: Outcome,
        error: BaseException | None = None,
        *,
        retry_after: float | None = None,
    ) -> Awaitable[None]: ...


class _Call:
    """What both kinds of calls share: one admission, given away once."""

    __slots__ = ("_admission", "_breaker", "_dropped", "_judge", "_process", "_started")

    def __init__(self, breaker: Any, judge: Judge, admission: Admission) -> None:
        self._breaker = breaker
        self._judge = judge
        self._process = os.getpid()
        self._dropped: DroppedCalls | None = None
        self._started = monotonic()
        self._admission: Admission | None = admission

    def release_when_dropped(self) -> None:
        """Release the call if the garbage collector finds it without a report."""
        self._dropped = dropped_calls()
        self._dropped.be_ready()

    def inside(self) -> AbstractContextManager[None]:
        """Have calls in the block be part of this one, if it is a probe."""
        open_probes: OpenProbes = self._breaker.open_probes
        return open_probes.inside(self._admission)

    def drop(self) -> None:
        """Have the call released soon, by a thread. Safe wherever the garbage collector may run."""
        admission = self._take()
        # A forked child has a copy of its parent's calls, and none of them is its own to end.
        if admission is not None and self._dropped is not None and self._process == os.getpid():
            self._dropped.add(partial(self._give_back, admission))

    def _give_back(self, admission: Admission) -> None:
        raise NotImplementedError

    def _take(self) -> Admission | None:
        admission, self._admission = self._admission, None
        return admission

    def _tell(self, outcome: Outcome) -> None:
        if observation.call_observers:
            observation.tell_call(self._breaker.name, outcome, monotonic() - self._started)

    def __del__(self) -> None:
        if getattr(self, "_admission", None) is not None:
            self.drop()


class OpenCall(_Call):
    """An admitted call of a sync breaker."""

    __slots__ = ()

    _breaker: SyncBreaker

    @classmethod
    def begin(cls, breaker: SyncBreaker, judge: Judge) -> OpenCall:
        """Ask for admission; raise CircuitBreakerError where it is refused."""
        return cls(breaker, judge, breaker.admit())

    def succeed(self) -> None:
        """Report that the service answered."""
        self._report(Outcome.SUCCESS)

    def release(self) -> None:
        """Report that the call was given up."""
        self._report(Outcome.RELEASED)

    def fail(self, error: BaseException) -> None:
        """Report what ``error`` says about the service."""
        if self._admission is not None:
            outcome, retry_after = self._judge(error)
            self._report(outcome, error, retry_after)

    def _report(
        self, outcome: Outcome, error: BaseException | None = None, retry_after: float | None = None
    ) -> None:
        admission = self._take()
        if admission is not None:
            self._tell(outcome)
            self._breaker.report(admission, outcome, error, retry_after=retry_after)

    def _give_back(self, admission: Admission) -> None:
        self._tell(Outcome.RELEASED)
        self._breaker.report(admission, Outcome.RELEASED)


class AsyncOpenCall(_Call):
    """An admitted call of an async breaker."""

    __slots__ = ()

    _breaker: AsyncBreaker

    @classmethod
    async def begin(cls, breaker: AsyncBreaker, judge: Judge) -> AsyncOpenCall:
        """Ask for admission; raise CircuitBreakerError where it is refused."""
        return cls(breaker, judge, await breaker.admit())

    async def succeed(self) -> None:
        """Report that the service answered."""
        await self._report(Outcome.SUCCESS)

    async def fail(self, error: BaseException) -> None:
        """Report what ``error`` says about the service; a call that is cancelled awaits nothing for it."""
        if not isinstance(error, Exception):
            self.release(error)
        elif self._admission is not None:
            outcome, retry_after = self._judge(error)
            await self._report(outcome, error, retry_after)

    def release(self, error: BaseException | None = None) -> None:
        """Report that the call was given up, without waiting for it."""
        admission = self._take()
        if admission is not None:
            self._tell(Outcome.RELEASED)
            self._breaker.release(admission, error)

    async def _report(
        self, outcome: Outcome, error: BaseException | None = None, retry_after: float | None = None
    ) -> None:
        admission = self._take()
        if admission is not None:
            self._tell(outcome)
            await self._breaker.report(admission, outcome, error, retry_after=retry_after)

    def _give_back(self, admission: Admission) -> None:
        self._tell(Outcome.RELEASED)
        self._breaker.release(admission)
