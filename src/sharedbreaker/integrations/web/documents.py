"""What the site shows of circuits, as JSON takes it. Moments are Unix seconds by Redis' clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sharedbreaker.circuit.history import Event
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.circuit.state import CircuitMode, CircuitState

_SETTINGS = (
    "failure_threshold",
    "success_threshold",
    "half_open_max_calls",
    "open_timeout_ms",
    "probe_timeout_ms",
    "lease_timeout_ms",
)

_WHY = {
    "failure_threshold": "Failures in a row reached the threshold",
    "failure_rate": "Too large a share of calls failed",
    "slow_call_rate": "Too large a share of calls was slow",
    "tune": "Settings tuned by hand",
    "probe_failed": "A probe failed",
    "open_timeout_over": "The time was up, and the first call went through as a probe",
    "hold_over": "The hold ended, and the first call went through as a probe",
    "success_threshold": "Enough probes succeeded",
    "force_open": "Held open by hand",
    "force_close": "Closed by hand",
    "disable": "Disabled by hand",
    "enable": "Enabled by hand",
    "declared": "Settings declared",
    "was_away": "A process came back from working without Redis",
}


def health_of(circuit: Snapshot) -> dict[str, Any]:
    """Return what ``/api/health`` says of one circuit."""
    figures = circuit.metrics_dict()
    return {
        "state": figures["state"],
        "is_healthy": figures["is_healthy"],
        "success_rate": figures["success_rate_percent"],
    }


def state_of(circuit: Snapshot) -> dict[str, Any]:
    """Return everything about one circuit: its figures and the settings in force."""
    return {
        **circuit.metrics_dict(),
        "held_at": circuit.seconds("held_at"),
        "now": circuit.now_ms / 1000,
        "settings": {field: circuit.count(field) for field in _SETTINGS},
    }


def event_of(event: Event) -> dict[str, Any]:
    """Return one event, with what it means in words."""
    return {**event.as_dict(), "says": says(event)}


def live_state_of(circuit: Snapshot, events: Sequence[Event]) -> dict[str, Any]:
    """Return what the page shows of one circuit; ``events`` are its latest, newest first."""
    return {
        **state_of(circuit),
        "why": why_of(circuit, events),
        "events": [event_of(event) for event in events],
    }


def why_of(circuit: Snapshot, events: Sequence[Event]) -> str:
    """Return in one line why the circuit is as it is; empty where all is as usual."""
    if circuit.mode in (CircuitMode.HELD_OPEN, CircuitMode.DISABLED):
        held = "Held open" if circuit.mode is CircuitMode.HELD_OPEN else "Disabled: every call passes"
        by = circuit.fields.get("held_by", "")
        reason = circuit.fields.get("held_reason", "")
        return f"{held}{f', by {by}' if by else ''}{f': {reason}' if reason else ''}"
    if circuit.state is CircuitState.CLOSED:
        reporters = circuit.failure_reporters
        return f"Failures in {reporters[0]} alone" if len(reporters) == 1 else ""
    # What opened it is what an operator asks for, also while it is being tried again.
    opening = next((event for event in events if event.is_transition and event.after == "open"), None)
    if opening is not None:
        return f"{says(opening)}; seen by {opening.who}" if opening.who else says(opening)
    failure = circuit.fields.get("last_failure_type", "")
    return f"The last failure was {failure}" if failure else ""


def says(event: Event) -> str:
    """Return an event in words."""
    words = _WHY.get(event.why, event.why.replace("_", " ").capitalize())
    failures = event.details.get("failure_count", "")
    if event.why == "failure_threshold" and failures:
        words = f"{failures} {'failure' if failures == '1' else 'failures'} in a row"
    if event.why in ("failure_rate", "slow_call_rate"):
        words = _rate_in_words(event)
    if event.exception:
        words = (
            f"{words}, the last a {event.exception}"
            if failures or "calls" in event.details
            else f"{words}: {event.exception}"
        )
    if event.details.get("settings"):
        words = f"{words}: {event.details['settings']}"
    return f"{words}: {event.reason}" if event.reason else words


def _rate_in_words(event: Event) -> str:
    figures = {name: int(event.details.get(name) or 0) for name in ("calls", "failed", "slow", "overdue")}
    calls, overdue = figures["calls"], figures["overdue"]
    if event.why == "failure_rate":
        return f"{figures['failed']} of {calls} calls failed"
    hung = f", {overdue} of them still under way" if overdue else ""
    return f"{figures['slow'] + overdue} of {calls + overdue} calls were slow{hung}"
