"""What a process last knew of a shared circuit: where it starts from when Redis cannot be asked."""

from __future__ import annotations

from datetime import timedelta

from sharedbreaker.circuit.admission import AdmissionReading, mode_of
from sharedbreaker.circuit.control import Act
from sharedbreaker.circuit.errors import CircuitBreakerError
from sharedbreaker.circuit.refresh import RefreshReading
from sharedbreaker.circuit.rules import Circuit
from sharedbreaker.circuit.settings import Settings, milliseconds_in
from sharedbreaker.circuit.state import TRANSITION_NAMED, CircuitMode, CircuitState
from sharedbreaker.store.clock import now_us


class LastKnown:
    """The state of one circuit as the latest answer told it; closed before the first."""

    def __init__(self, settings: Settings) -> None:
        self.state = CircuitState.CLOSED
        self.mode = CircuitMode.AUTOMATIC
        self._open_until_us: int | None = None
        self._open_timeout_us = int(settings.fields()["open_timeout_ms"]) * 1000

    def remember(self, reading: AdmissionReading) -> None:
        """Take note of an answer to the question whether a call may run."""
        self.mode = reading.mode
        self._open_until_us = None
        if reading.refusal is not None:
            self.state = reading.refusal.state
            wait = reading.refusal.retry_after
            if wait is not None:
                self._open_until_us = now_us() + round(wait * 1_000_000)
        elif reading.admission is not None and reading.admission.is_probe:
            self.state = CircuitState.HALF_OPEN
        else:
            self.state = CircuitState.CLOSED

    def remember_refusal(self, refusal: CircuitBreakerError) -> None:
        """Take note of a rejection by an open circuit."""
        self.state, self.mode = refusal.state, mode_of(refusal)
        wait = refusal.retry_after
        self._open_until_us = None if wait is None else now_us() + round(wait * 1_000_000)

    def remember_closed(self) -> None:
        """Take note that the circuit is closed, and in nobody's hand."""
        self.state, self.mode, self._open_until_us = CircuitState.CLOSED, CircuitMode.AUTOMATIC, None

    def remember_refresh(self, reading: RefreshReading) -> None:
        """Take note of an answer to the question where the circuit stands."""
        self.state, self.mode = reading.state, reading.mode
        wait = reading.retry_after
        self._open_until_us = None if wait is None else now_us() + round(wait * 1_000_000)

    def remember_transition(self, moved: str) -> None:
        """Take note of a transition that a report of this process caused; an empty text is none."""
        if moved:
            self.state = TRANSITION_NAMED[moved].after
            self._open_until_us = now_us() + self._open_timeout_us

    def remember_act(self, act: Act, seconds: float | timedelta | None) -> None:
        """Take note of a manual act of this process that was carried out."""
        if act is Act.FORCE_OPEN:
            self.state, self.mode = CircuitState.OPEN, CircuitMode.HELD_OPEN
            hold_us = None if seconds is None else milliseconds_in("seconds", seconds) * 1000
            self._open_until_us = None if hold_us is None else now_us() + hold_us
        elif act is not Act.ENABLE or self.mode is CircuitMode.DISABLED:
            self.state = CircuitState.CLOSED
            self.mode = CircuitMode.DISABLED if act is Act.DISABLE else CircuitMode.AUTOMATIC

    def begin(self, circuit: Circuit) -> None:
        """Start ``circuit`` from here: an opening lasts for the rest of its time."""
        circuit.begin(now_us(), self.state, self.mode, self._open_until_us)
