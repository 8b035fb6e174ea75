"""What there is to know of one circuit: the fields of its hash, its leases and its history."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.circuit.state import TRANSITIONS, CircuitMode, CircuitState
from sharedbreaker.circuit.tuning import DECLARED, TuneReading, declared_beside, tuned_beside
from sharedbreaker.circuit.windows import Window

EVENTS_KEPT = 1000

TALLY_OF_OUTCOME = {
    Outcome.SUCCESS: "successful_calls",
    Outcome.FAILURE: "failed_calls",
    Outcome.IGNORED: "ignored_calls",
    Outcome.RELEASED: "released_calls",
}
RULES_OFF = {
    "idle_ttl_ms": 0,
    "failure_rate_percent": 0,
    "slow_call_rate_percent": 0,
    "timeout_growth_percent": 100,
    "ramp_up_ms": 0,
    "minimum_reporters": 1,
    "max_in_flight": 0,
    "observe": 0,
}
"""The values that turn each rule off but the default one."""

CALL_TALLIES = (*TALLY_OF_OUTCOME.values(), "rejected_calls")


class Event(NamedTuple):
    """One line of a circuit's history. A transition where ``before`` and ``after`` differ."""

    before: CircuitState
    after: CircuitState
    why: str
    who: str


class CircuitRecord:
    """One circuit as it is kept. Times are Unix milliseconds, ``now_us`` microseconds.

    Settings are fields of the hash.
    """

    def __init__(self, name: str, settings: Mapping[str, str], now_us: int) -> None:
        self.name = name
        self.settings = _numbers_in(settings)
        self.declared: dict[str, int] = {}
        self.state = CircuitState.CLOSED
        self.mode = CircuitMode.AUTOMATIC
        self.epoch = now_us
        self.failure_count = 0
        self.success_count = 0
        self.opened_at: int | None = None
        self.open_until: int | None = None
        self.retry_after_ms: int | None = None
        self.started_at = self.last_state_change = now_us // 1000
        self.last_failure = {"last_failure_time": "", "last_failure_type": "", "last_failure_by": ""}
        self.held: dict[str, str] = {}
        self.tuned: dict[str, str] = {}
        self.tallies = dict.fromkeys((*CALL_TALLIES, "lost_calls", "late_results", "observed_rejections"), 0)
        self.tallies.update((transition.name, 0) for transition in TRANSITIONS)
        # Apart, because each kind lasts equally long and so ends in the order in which it began.
        self.call_leases: dict[str, int] = {}
        self.probe_leases: dict[str, int] = {}
        self.probes: list[str] = []
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self.batches: set[str] = set()
        self.windows = {name: Window(name) for name in ("failure_rate", "slow_call_rate")}
        self.reporters: dict[str, int] = {}
        self.failing_since: int | None = None
        self.reopenings: int | None = None
        self.ramp_until: int | None = None
        self.ramp_credit: int | None = None
        self._leases_in_order = True

    def begin(self, now_us: int, state: CircuitState, mode: CircuitMode, open_until_us: int | None) -> None:
        """Start from what is known of another circuit: an opening lasts for the rest of its time.

        Half-open starts as open with its time over, since its probes are others'.
        """
        self.mode = mode
        if mode is CircuitMode.OBSERVE:
            self.mode = CircuitMode.AUTOMATIC
            self.settings["observe"] = 1
        if state is CircuitState.CLOSED:
            return
        self.state = CircuitState.OPEN
        self.opened_at = now_us // 1000
        if open_until_us is not None:
            self.open_until = open_until_us // 1000
        elif mode is not CircuitMode.HELD_OPEN:
            self.open_until = self.opened_at

    def declare(self, settings: Mapping[str, str]) -> None:
        """Replace the settings in force but for those that are tuned, and nothing else."""
        declaration = _numbers_in(settings)
        self.settings, self.declared = declared_beside(self.settings, self.declared, declaration)
        self._leases_in_order = False
        self._drop_what_no_rule_asks_for()

    def tune(self, now_us: int, changes: Mapping[str, str], who: str, reason: str) -> TuneReading:
        """Change settings by hand; '' clears one that is."""
        before = self.settings, self.declared
        self.settings, self.declared = tuned_beside(*before, changes)
        if before == (self.settings, self.declared):
            return TuneReading("same", ())
        self.tuned = {}
        if self.declared:
            self.tuned = {"tuned_by": who, "tuned_reason": reason, "tuned_at": str(now_us // 1000)}
        self._leases_in_order = False
        self._drop_what_no_rule_asks_for()
        self._record(self.state, "tune", who)
        return TuneReading("changed", ())

    def snapshot(self, now_us: int) -> Snapshot:
        """Look, and change nothing."""
        now_ms = now_us // 1000
        leases = (*self.call_leases.values(), *self.probe_leases.values())
        calls_in_flight = sum(ends_ms > now_ms for ends_ms in leases)
        probes_in_flight = sum(self.probe_leases[probe] > now_ms for probe in self.probes)
        return Snapshot(self.name, now_ms, calls_in_flight, probes_in_flight, self.fields())

    def fields(self) -> dict[str, str]:
        """Return the circuit as the fields of its hash."""
        fields = {
            "state": self.state.value,
            "mode": self.mode.value,
            "epoch": str(self.epoch),
            "failure_count": str(self.failure_count),
            "success_count": str(self.success_count),
            "rules": "extended" if self._is_extended else "plain",
            **{field: str(value) for field, value in self.settings.items()},
            **{DECLARED + field: str(value) for field, value in self.declared.items()},
            "started_at": str(self.started_at),
            "last_state_change": str(self.last_state_change),
            **{field: str(tally) for field, tally in self.tallies.items()},
            **self.last_failure,
            **self.held,
            **self.tuned,
            **self.windows["failure_rate"].fields(),
            **self.windows["slow_call_rate"].fields(),
        }
        counts = {
            "failing_since": self.failing_since,
            "reopenings": self.reopenings,
            "ramp_until": self.ramp_until,
            "ramp_credit": self.ramp_credit,
        }
        fields.update((field, str(count)) for field, count in counts.items() if count is not None)
        if self.reporters:
            reporters = (f"{who}={at_ms}" for who, at_ms in self.reporters.items())
            fields["failure_reporters"] = " ".join(reporters)
        moments = {
            "opened_at": self.opened_at,
            "open_until": self.open_until,
            "retry_after_ms": self.retry_after_ms,
        }
        fields.update((field, "" if moment is None else str(moment)) for field, moment in moments.items())
        if self.probes:
            fields["probes"] = " ".join(self.probes)
        return fields

    @property
    def observes(self) -> bool:
        """Whether all is decided and nothing is enforced. Whoever holds a circuit by hand is obeyed."""
        return bool(self.settings["observe"]) and self.mode is CircuitMode.AUTOMATIC

    @property
    def _is_extended(self) -> bool:
        return any(self.settings[field] != off for field, off in RULES_OFF.items())

    def _forget_results(self) -> None:
        """Let what was counted towards opening count no more."""
        self.failure_count = 0
        self.failing_since = None
        self.reporters = {}
        for window in self.windows.values():
            window.clear()

    def _drop_what_no_rule_asks_for(self) -> None:
        if not self._is_extended:
            failure_count = self.failure_count
            self._forget_results()
            self.failure_count = failure_count
            self.reopenings = self.ramp_until = self.ramp_credit = None

    def _record(self, after: CircuitState, why: str, who: str) -> None:
        self.events.append(Event(self.state, after, why, who))


def _numbers_in(settings: Mapping[str, str]) -> dict[str, int]:
    return {field: int(value) for field, value in settings.items()}
