"""What no script does and the circuit in Python does: begin from another one, hear of calls without lease."""

from __future__ import annotations

from sharedbreaker.circuit.admission import Admission
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.report import Report
from sharedbreaker.circuit.rules import Circuit
from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.state import CircuitMode, CircuitState


def test_circuit_that_is_begun_from_one_that_observes_observes_too() -> None:
    """A process without Redis enforces nothing that was only observed, and nobody's hand is on it."""
    circuit = Circuit("orders", Settings().fields(), 1_000_000)

    circuit.begin(2_000_900, CircuitState.OPEN, CircuitMode.OBSERVE, 3_000_000)

    assert circuit.mode is CircuitMode.AUTOMATIC
    assert str(circuit.opened_at) == "2000"
    assert circuit.fields()["observe"] == "1"
    reading = circuit.admit(2_500_000, "token", "ann")
    assert reading.refusal is None
    assert reading.admission is not None
    assert reading.admission.is_observed


def test_failure_of_an_earlier_epoch_without_a_lease_decides_nothing() -> None:
    """It is tallied, as what it was and as late; one of this epoch counts."""
    circuit = Circuit("orders", Settings(failure_threshold=1).fields(), 1_000_000)
    report = Report(Admission("token", ""), Outcome.FAILURE, "Boom")

    assert circuit.fail(2_000_000, "1", report, "ann") == ""
    assert (circuit.tallies["failed_calls"], circuit.tallies["late_results"]) == (1, 1)
    assert circuit.fail(2_000_000, str(circuit.epoch), report, "ann") == "closed_to_open"
    assert (circuit.tallies["failed_calls"], circuit.tallies["late_results"]) == (2, 1)
