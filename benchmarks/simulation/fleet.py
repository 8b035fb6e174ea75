"""The processes of a fleet and their circuits: one for all of them, or one each."""

from __future__ import annotations

from sharedbreaker.circuit.admission import Admission
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.report import Report
from sharedbreaker.circuit.rules import Circuit
from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.state import CircuitState

FROM_US = 1_767_225_600_000_000
"""Where virtual time begins: circuits take microseconds since 1970."""


class Fleet:
    """Takes seconds of virtual time, and notes when circuits open and close."""

    def __init__(self, settings: Settings, processes: int, *, is_shared: bool) -> None:
        circuits = 1 if is_shared else processes
        self.circuits = [Circuit("simulated", settings.fields(), FROM_US) for _ in range(circuits)]
        self.openings: list[list[float]] = [[] for _ in self.circuits]
        self.closings: list[list[float]] = [[] for _ in self.circuits]
        self._calls = 0

    def circuit_of(self, process: int) -> int:
        """Return the number of the circuit that decides for a process."""
        return process % len(self.circuits)

    def admit(self, at: float, process: int) -> Admission | None:
        """Return leave for a call, or None."""
        self._calls += 1
        number = self.circuit_of(process)
        # A token begins with its process, as those of real processes do.
        token = f"{process:012d}{self._calls}"
        reading = self.circuits[number].admit(_us(at), token, _name(process))
        self._note(number, at, reading.transition)
        return reading.admission

    def report(self, at: float, process: int, admission: Admission, *, succeeds: bool, took: float) -> None:
        """Tell how a call ended that took so many seconds."""
        number = self.circuit_of(process)
        outcome = Outcome.SUCCESS if succeeds else Outcome.FAILURE
        report = Report(admission, outcome, "", None, round(took * 1000))
        self._note(number, at, self.circuits[number].report(_us(at), report, _name(process)).transition)

    def is_closed(self, number: int) -> bool:
        """Return whether that circuit is closed now."""
        return self.circuits[number].state is CircuitState.CLOSED

    def _note(self, number: int, at: float, transition: str) -> None:
        if transition.endswith("_to_open"):
            self.openings[number].append(at)
        elif transition.endswith("_to_closed"):
            self.closings[number].append(at)


def _us(at: float) -> int:
    return FROM_US + round(at * 1_000_000)


def _name(process: int) -> str:
    return f"process-{process}"
