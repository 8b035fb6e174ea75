"""A circuit at one instant, and the figures that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.state import TRANSITION_NAMED, CircuitMode, CircuitState
from sharedbreaker.circuit.tuning import Tuned, tuned_in
from sharedbreaker.circuit.windows import Window

SNAPSHOT_PARTS = 4


@dataclass(frozen=True)
class Snapshot:
    """The fields of one circuit's hash as one atomic read found them, with the calls in flight."""

    name: str
    now_ms: int
    """Redis' clock, Unix milliseconds."""
    calls_in_flight: int
    """Admitted calls of the whole fleet whose report has not come yet, probes included."""
    probes_in_flight: int
    fields: Mapping[str, str]
    """The hash, with the declared settings where it is missing. Foreign values are as they are."""
    redis_available: bool = True
    """False for the view of one process without Redis: its own state, and its own tallies since then."""
    unwritten_calls: int = 0
    """Calls of this process that Redis has not been told of yet."""

    @cached_property
    def state(self) -> CircuitState:
        """The state; closed where the field is missing or unreadable, as the scripts take it."""
        try:
            return CircuitState(self.fields.get("state", "closed"))
        except ValueError:
            return CircuitState.CLOSED

    @cached_property
    def mode(self) -> CircuitMode:
        """Who decides; automatic where the field is missing or unreadable, as the scripts take it."""
        try:
            mode = CircuitMode(self.fields.get("mode", "automatic"))
        except ValueError:
            mode = CircuitMode.AUTOMATIC
        observes = mode is CircuitMode.AUTOMATIC and self.count("observe") == 1
        return CircuitMode.OBSERVE if observes else mode

    def count(self, field: str) -> int:
        """Return a count or tally; 0 where the field is missing or unreadable."""
        value = self.fields.get(field, "")
        return int(value) if value.isascii() and value.isdigit() else 0

    def seconds(self, field: str) -> float | None:
        """Return a moment as Unix seconds; None where there is none."""
        milliseconds = self.count(field)
        return milliseconds / 1000 if milliseconds else None

    @property
    def total_calls(self) -> int:
        """Calls that asked for admission and got an outcome; derived, so that its parts always add up."""
        return sum(
            self.count(field)
            for field in ("successful_calls", "failed_calls", "rejected_calls", "ignored_calls")
        )

    def percent_of(self, field: str, total: int) -> float | None:
        """Return a tally as a percentage of ``total`` with two decimals; None of nothing."""
        return round(100 * self.count(field) / total, 2) if total else None

    def window_percent(self, name: str) -> float | None:
        """Return the rate ``failure_rate`` or ``slow_call_rate``; None without one, or of too few calls.

        Calls that are still under way are in it only where the rule that opens is looked at.
        """
        if not self.count(f"{name}_percent"):
            return None
        settings = {f"{name}_{part}": self.count(f"{name}_{part}") for part in ("window_ms", "window_calls")}
        calls, bad = Window.of_fields(name, self.fields).sums(settings, self.now_ms)
        return round(100 * bad / calls, 2) if calls >= max(1, self.count(f"{name}_minimum_calls")) else None

    @property
    def failure_reporters(self) -> list[str]:
        """The processes whose failures and slow calls count now, where more than one has to see them."""
        reporters = self.fields.get("failure_reporters", "").split()
        return [reporter.rpartition("=")[0] for reporter in reporters]

    @property
    def transitions(self) -> dict[str, int]:
        """Tally of each transition."""
        return {name: self.count(name) for name in TRANSITION_NAMED}

    @property
    def tuned(self) -> tuple[Tuned, ...]:
        """The settings that were tuned by hand, and what is declared in their place."""
        return tuned_in(self.fields)

    def state_dict(self) -> dict[str, Any]:
        """Return what ``CircuitBreaker.get_state`` shows. Moments are Unix seconds or None."""
        return {
            "name": self.name,
            "state": self.state.value,
            "failure_count": self.count("failure_count"),
            "success_count": self.count("success_count"),
            "last_failure_time": self.seconds("last_failure_time"),
        }

    def metrics_dict(self) -> dict[str, Any]:
        """Return what ``CircuitBreaker.get_metrics`` shows, as JSON takes it.

        Rates are percentages of all calls, with None while there are none. Moments are Unix seconds
        by Redis' clock, or None for what has not happened.
        """
        count = self.count
        total = self.total_calls
        started_at = self.seconds("started_at")
        state = self.state
        return {
            "name": self.name,
            "state": state.value,
            "mode": self.mode.value,
            "uptime_seconds": max(0.0, round(self.now_ms / 1000 - started_at, 3)) if started_at else 0.0,
            "total_calls": total,
            "successful_calls": count("successful_calls"),
            "failed_calls": count("failed_calls"),
            "rejected_calls": count("rejected_calls"),
            "ignored_calls": count("ignored_calls"),
            "released_calls": count("released_calls"),
            "lost_calls": count("lost_calls"),
            "late_results": count("late_results"),
            "calls_in_flight": self.calls_in_flight,
            "probes_in_flight": self.probes_in_flight,
            "success_rate_percent": self.percent_of("successful_calls", total),
            "failure_rate_percent": self.percent_of("failed_calls", total),
            "rejection_rate_percent": self.percent_of("rejected_calls", total),
            "current_failure_count": count("failure_count"),
            "current_success_count": count("success_count"),
            "failure_threshold": count("failure_threshold"),
            "success_threshold": count("success_threshold"),
            "window_failure_rate_percent": self.window_percent("failure_rate"),
            "window_slow_call_rate_percent": self.window_percent("slow_call_rate"),
            "failure_reporters": self.failure_reporters,
            "observed_rejections": count("observed_rejections"),
            "tuned_settings": {
                tuned.field: {"in_force": tuned.in_force, "declared": tuned.declared} for tuned in self.tuned
            },
            "state_transitions": self.transitions,
            "last_state_change": self.seconds("last_state_change"),
            "last_failure_time": self.seconds("last_failure_time"),
            "last_failure_type": self.fields.get("last_failure_type") or None,
            "last_failure_by": self.fields.get("last_failure_by") or None,
            "opened_at": self.seconds("opened_at"),
            "open_until": self.seconds("open_until"),
            "held_by": self.fields.get("held_by") or None,
            "held_reason": self.fields.get("held_reason") or None,
            "redis_available": self.redis_available,
            "unwritten_calls": self.unwritten_calls,
            "is_healthy": state is CircuitState.CLOSED,
            "is_degraded": state is CircuitState.HALF_OPEN,
            "is_failing": state is CircuitState.OPEN,
        }


def read_snapshot(reply: Sequence[Any], name: str, settings: Settings) -> Snapshot:
    """Return what ``lua/snapshot.lua`` saw; a circuit that nobody has called shows its declared settings."""
    if not isinstance(reply, (list, tuple)) or len(reply) != SNAPSHOT_PARTS:
        raise ValueError(f"snapshot answered {reply!r}")
    now_ms, calls_in_flight, probes_in_flight, flat = reply
    texts = _texts(flat)
    fields = settings.fields()
    fields.update(zip(texts[::2], texts[1::2], strict=True))
    return Snapshot(name, int(now_ms), int(calls_in_flight), int(probes_in_flight), fields)


def _texts(flat: Sequence[Any]) -> list[str]:
    try:
        return list(map(bytes.decode, flat))
    except (TypeError, UnicodeDecodeError):
        return [value.decode("utf-8", "replace") if type(value) is bytes else str(value) for value in flat]
