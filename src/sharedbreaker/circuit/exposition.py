"""Circuits as Prometheus reads them: one table of families, written out as text.

The text format is three lines a family, and a circuit's name needs no escaping, so the core writes it
without a library. Counters are shared by the fleet: every worker shows the same number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.circuit.state import TRANSITIONS, CircuitState

FLEET = "The same from every worker: aggregate with max by (name), never with sum."

STATE_VALUES = {CircuitState.CLOSED: 0, CircuitState.HALF_OPEN: 1, CircuitState.OPEN: 2}
RESULTS = {
    "success": "successful_calls",
    "failure": "failed_calls",
    "rejected": "rejected_calls",
    "ignored": "ignored_calls",
}


@dataclass(frozen=True)
class Family:
    """One metric family and where its samples come from."""

    name: str
    type: str
    help: str
    samples: Callable[[Snapshot], Iterable[tuple[dict[str, str], float | None]]]
    """Labels besides ``name``, and the value; None leaves the sample out."""


FAMILIES = (
    Family(
        "circuit_breaker_state",
        "gauge",
        f"State of the circuit: 0 closed, 1 half-open, 2 open. {FLEET}",
        lambda circuit: [({}, STATE_VALUES[circuit.state])],
    ),
    Family(
        "circuit_breaker_calls_total",
        "counter",
        f"Calls by result. {FLEET}",
        lambda circuit: [({"result": result}, circuit.count(field)) for result, field in RESULTS.items()],
    ),
    Family(
        "circuit_breaker_success_rate",
        "gauge",
        f"Successful calls in percent of all calls so far; absent while there are none. {FLEET}",
        lambda circuit: [({}, circuit.percent_of("successful_calls", circuit.total_calls))],
    ),
    Family(
        "circuit_breaker_state_transitions_total",
        "counter",
        f"Changes of state. {FLEET}",
        lambda circuit: [
            ({"transition": transition.name}, circuit.count(transition.name)) for transition in TRANSITIONS
        ],
    ),
)


def exposition(circuits: Sequence[Snapshot]) -> str:
    """Return one valid text exposition of all ``circuits``: each family once, however many there are."""
    lines = []
    for family in FAMILIES:
        lines.append(f"# HELP {family.name} {family.help}")
        lines.append(f"# TYPE {family.name} {family.type}")
        for circuit in circuits:
            for labels, value in family.samples(circuit):
                if value is not None:
                    pairs = {"name": circuit.name, **labels}
                    shown = ",".join(f'{label}="{text}"' for label, text in pairs.items())
                    lines.append(f"{family.name}{{{shown}}} {value}")
    return "\n".join(lines) + "\n"
