"""One circuit in words: what it does, since when, for how long, and why."""

from __future__ import annotations

from typing import Any

from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.circuit.state import CircuitMode, CircuitState
from sharedbreaker.cli.moments import lasting

STYLES = {CircuitState.CLOSED: "green", CircuitState.HALF_OPEN: "yellow", CircuitState.OPEN: "bold red"}
_WORDS = {CircuitState.CLOSED: "closed", CircuitState.HALF_OPEN: "half-open", CircuitState.OPEN: "open"}


def state_in_words(circuit: Snapshot) -> str:
    """Return the state, and whose hand is on it."""
    if circuit.mode is CircuitMode.HELD_OPEN:
        return "held open"
    if circuit.mode is CircuitMode.DISABLED:
        return "disabled"
    observed = ", observed" if circuit.mode is CircuitMode.OBSERVE else ""
    return f"{_WORDS[circuit.state]}{observed}"


def style_of(circuit: Snapshot) -> str:
    """Return the colour of the state."""
    return "magenta" if circuit.mode is CircuitMode.DISABLED else STYLES[circuit.state]


def since(circuit: Snapshot) -> str:
    """Return for how long the state has lasted."""
    changed = circuit.seconds("last_state_change")
    return "" if changed is None else lasting(max(0.0, circuit.now_ms / 1000 - changed))


def until(circuit: Snapshot) -> str:
    """Return for how long the state will last, where anybody knows."""
    if circuit.state is CircuitState.HALF_OPEN:
        return f"{circuit.count('success_count')}/{circuit.fields.get('success_threshold', '?')} probes"
    if circuit.state is CircuitState.CLOSED:
        return ""
    open_until = circuit.seconds("open_until")
    if open_until is None:
        return "let go" if circuit.mode is CircuitMode.HELD_OPEN else ""
    left = open_until - circuit.now_ms / 1000
    return lasting(left) if left > 0 else "next call"


def why(circuit: Snapshot) -> str:
    """Return why it is not closed, or who keeps it so, or which process alone sees failures; else empty."""
    fields = circuit.fields
    if circuit.mode in (CircuitMode.HELD_OPEN, CircuitMode.DISABLED):
        reason = fields.get("held_reason", "")
        return f"by {fields.get('held_by', '?')}" + (f": {reason}" if reason else "")
    if circuit.state is CircuitState.CLOSED:
        return _lone_reporter(circuit)
    kind, who = fields.get("last_failure_type", ""), fields.get("last_failure_by", "")
    parts = [f"{kind} in {who}" if kind and who else kind or who]
    if circuit.count("retry_after_ms"):
        parts.append(f"asked to wait {lasting(circuit.count('retry_after_ms') / 1000)}")
    return ", ".join(part for part in parts if part)


def _lone_reporter(circuit: Snapshot) -> str:
    reporters = circuit.failure_reporters
    return f"failures in {reporters[0]} alone" if len(reporters) == 1 else ""


def failures(circuit: Snapshot) -> str:
    """Return the failures in a row against their threshold."""
    return f"{circuit.count('failure_count')}/{circuit.fields.get('failure_threshold', '?')}"


def circuit_dict(circuit: Snapshot) -> dict[str, Any]:
    """Return one circuit as JSON takes it: what ``get_metrics`` shows, and the configuration in force."""
    fields = circuit.fields
    return {
        **circuit.metrics_dict(),
        "settings": {field: circuit.count(field) for field in Settings().fields()},
        "held_at": circuit.seconds("held_at"),
        "tuned_by": fields.get("tuned_by") or None,
        "tuned_reason": fields.get("tuned_reason") or None,
        "tuned_at": circuit.seconds("tuned_at"),
    }
