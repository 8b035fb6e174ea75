"""The states of a circuit and the ways between them, as data.

Rule 1: whatever moves a circuit goes through this table. In Redis that is ``transition`` in
``lua/circuit.lua``; the diagram in the README shows the same five arrows.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class CircuitState(str, Enum):
    """The condition of a circuit. A value is what Redis, logs and JSON show."""

    CLOSED = "closed"
    """Calls pass."""
    OPEN = "open"
    """Calls are rejected."""
    HALF_OPEN = "half_open"
    """A few calls pass as probes, all others are rejected."""

    __str__ = str.__str__


class CircuitMode(str, Enum):
    """Who decides: the state machine, or somebody's hand."""

    AUTOMATIC = "automatic"
    HELD_OPEN = "held_open"
    DISABLED = "disabled"
    OBSERVE = "observe"
    """The state machine decides and nothing is enforced."""

    __str__ = str.__str__


class Transition(NamedTuple):
    """One change of state."""

    before: CircuitState
    after: CircuitState

    @property
    def name(self) -> str:
        """The tally and the label of this transition, such as ``closed_to_open``."""
        return f"{self.before.value}_to_{self.after.value}"


TRANSITIONS = (
    Transition(CircuitState.CLOSED, CircuitState.OPEN),
    Transition(CircuitState.OPEN, CircuitState.HALF_OPEN),
    Transition(CircuitState.HALF_OPEN, CircuitState.CLOSED),
    Transition(CircuitState.HALF_OPEN, CircuitState.OPEN),
    Transition(CircuitState.OPEN, CircuitState.CLOSED),
)
"""Every way between two states. The last one is taken by hand only."""

TRANSITION_NAMED = {transition.name: transition for transition in TRANSITIONS}
