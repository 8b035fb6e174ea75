"""A call that has been admitted and is owed a report, which it gets once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from queue import SimpleQueue
from threading import Thread
from typing import TypedDict

from sharedbreaker.circuit.admission import Admission
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.google_errors import outcome_of, retry_after_of
from sharedbreaker.integrations.google.breakers import AsyncBreaker, SyncBreaker

logger = logging.getLogger("sharedbreaker")


class OpenCall:
    """An admitted call of a sync breaker."""

    def __init__(self, breaker: SyncBreaker) -> None:
        """Ask for admission; raise CircuitBreakerError where it is refused."""
        self._breaker = breaker
        self._process = os.getpid()
        self._dropped: _Dropped | None = None
        self._admission: Admission | None = breaker.admit()

    def release_when_dropped(self) -> None:
        """Release the call if the garbage collector finds it without a report."""
        self._dropped = _dropped_calls()

    def succeed(self) -> None:
        """Report that the service answered."""
        self._report(Outcome.SUCCESS, None)

    def release(self) -> None:
        """Report that the call was given up."""
        self._report(Outcome.RELEASED, None)

    def fail(self, error: BaseException) -> None:
        """Report what ``error`` says about the service."""
        self._report(outcome_of(error), error)

    def _report(self, outcome: Outcome, error: BaseException | None) -> None:
        admission, self._admission = self._admission, None
        if admission is not None:
            self._breaker.report(admission, outcome, error, **_asked_by(error))

    def __del__(self) -> None:
        admission = getattr(self, "_admission", None)
        if admission is not None and self._dropped is not None and self._process == os.getpid():
            self._dropped.put((self._breaker, admission))


class AsyncOpenCall:
    """An admitted call of an async breaker. Dropped without a report, it is released by its event loop."""

    def __init__(self, breaker: AsyncBreaker, admission: Admission) -> None:
        self._breaker = breaker
        self._process = os.getpid()
        self._loop = asyncio.get_running_loop()
        self._admission: Admission | None = admission

    @classmethod
    async def begin(cls, breaker: AsyncBreaker) -> AsyncOpenCall:
        """Ask for admission; raise CircuitBreakerError where it is refused."""
        return cls(breaker, await breaker.admit())

    async def succeed(self) -> None:
        """Report that the service answered."""
        await self._report(Outcome.SUCCESS, None)

    async def fail(self, error: BaseException) -> None:
        """Report what ``error`` says about the service; a call that is cancelled awaits nothing for it."""
        if isinstance(error, Exception):
            await self._report(outcome_of(error), error)
        else:
            self.release(error)

    def release(self, error: BaseException | None = None) -> None:
        """Report that the call was given up, without waiting for it."""
        admission, self._admission = self._admission, None
        if admission is not None:
            self._breaker.release(admission, error)

    async def _report(self, outcome: Outcome, error: BaseException | None) -> None:
        admission, self._admission = self._admission, None
        if admission is not None:
            await self._breaker.report(admission, outcome, error, **_asked_by(error))

    def __del__(self) -> None:
        admission = getattr(self, "_admission", None)
        if admission is None or self._process != os.getpid():
            return
        # Not here, where this very thread may hold any lock. A loop that is closed runs nothing more: then
        # the lease runs out.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._breaker.release, admission)


class _Asked(TypedDict, total=False):
    retry_after: float


def _asked_by(error: BaseException | None) -> _Asked:
    seconds = None if error is None else retry_after_of(error)
    return {} if seconds is None else {"retry_after": seconds}


_Dropped = SimpleQueue[tuple[SyncBreaker, Admission]]
_queues: dict[int, _Dropped] = {}


def _dropped_calls() -> _Dropped:
    """Return this process' queue of calls that the garbage collector has found.

    It may find one while this very thread holds a lock of the store's or of Redis' client, so nothing may be
    asked of Redis there; putting into a SimpleQueue is safe wherever it happens.
    """
    queue = _queues.get(os.getpid())
    if queue is None:
        queue = SimpleQueue()
        # Two threads that come here first together may each start one, and one of them waits for ever.
        _queues[os.getpid()] = queue
        Thread(target=_release_all, args=(queue,), name="sharedbreaker-dropped-streams", daemon=True).start()
    return queue


def _release_all(queue: _Dropped) -> None:
    while True:
        breaker, admission = queue.get()
        try:
            breaker.report(admission, Outcome.RELEASED)
        except Exception:
            logger.exception(
                "circuit %r: a dropped stream was not released; its lease will run out", breaker.name
            )
