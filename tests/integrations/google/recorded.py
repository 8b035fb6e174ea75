"""Breakers that write down what guards do with them, and let calls through until they are told not to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from sharedbreaker import CircuitBreakerError, CircuitState
from sharedbreaker.circuit.admission import Admission
from sharedbreaker.circuit.outcome import Outcome


class Record:
    """What the breakers of one guard were asked and told, in order, as ``role: what``."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.retry_after: list[float | None] = []
        self.is_open = False
        self._open: dict[int, Admission] = {}

    @property
    def in_flight(self) -> int:
        return len(self._open)

    def admit(self, role: str) -> Admission:
        if self.is_open:
            self.lines.append(f"{role}: rejected")
            raise CircuitBreakerError(role, CircuitState.OPEN, 1.0, "open")
        admission = Admission(token=role, epoch="1")
        self._open[id(admission)] = admission
        return admission

    def report(self, role: str, admission: Admission, outcome: Outcome, retry_after: float | None) -> None:
        assert self._open.pop(id(admission)) is admission, "reported twice, or never admitted"
        self.lines.append(f"{role}: {outcome}")
        self.retry_after.append(retry_after)

    def breakers(self) -> dict[str, Any]:
        return {role: (SyncRecorder(role, self), AsyncRecorder(role, self)) for role in ROLES}


ROLES = ("text", "vision", "imagen")


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass within five seconds"
        await asyncio.sleep(0.002)


def until_settled(record: Record, in_flight: int = 0) -> None:
    asyncio.run(until(lambda: record.in_flight == in_flight))


class SyncRecorder:
    def __init__(self, name: str, record: Record) -> None:
        self.name = name
        self._record = record

    def admit(self) -> Admission:
        return self._record.admit(self.name)

    def report(
        self,
        admission: Admission,
        outcome: Outcome,
        error: BaseException | None = None,
        *,
        retry_after: float | None = None,
    ) -> None:
        self._record.report(self.name, admission, outcome, retry_after)


class AsyncRecorder:
    def __init__(self, name: str, record: Record) -> None:
        self.name = name
        self._record = record

    async def admit(self) -> Admission:
        return self._record.admit(self.name)

    async def report(
        self,
        admission: Admission,
        outcome: Outcome,
        error: BaseException | None = None,
        *,
        retry_after: float | None = None,
    ) -> None:
        self._record.report(self.name, admission, outcome, retry_after)

    def release(self, admission: Admission, error: BaseException | None = None) -> None:
        self._record.report(self.name, admission, Outcome.RELEASED, None)
