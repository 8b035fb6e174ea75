"""The state machine in plain Python: the circuit of a process without Redis, and the oracle of the Lua.

Rule by rule it is what ``lua/`` says, and the same generated histories run through both. Time is an argument,
so nothing here reads a clock; one lock around a circuit is the caller's business.
"""

from __future__ import annotations

from sharedbreaker.circuit.admission import (
    OBSERVED_PREFIX,
    PROBE_PREFIX,
    WHY_TURNED_AWAY,
    Admission,
    AdmissionReading,
    refused_because,
)
from sharedbreaker.circuit.circuit_record import TALLY_OF_OUTCOME
from sharedbreaker.circuit.control import Act, ControlReading
from sharedbreaker.circuit.errors import CircuitBreakerError
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.refresh import Batch, RefreshReading
from sharedbreaker.circuit.report import Report, ReportReading
from sharedbreaker.circuit.state import CircuitMode, CircuitState, Transition
from sharedbreaker.circuit.trip_rules import Ended, Met, TripRules

PROBES_BUSY_RETRY_MS = 1000

_AFTER = {
    Act.FORCE_OPEN: (CircuitMode.HELD_OPEN, CircuitState.OPEN),
    Act.FORCE_CLOSE: (CircuitMode.AUTOMATIC, CircuitState.CLOSED),
    Act.DISABLE: (CircuitMode.DISABLED, CircuitState.CLOSED),
    Act.ENABLE: (CircuitMode.AUTOMATIC, CircuitState.CLOSED),
}


class Circuit(TripRules):
    """One circuit and its rules. Times are Unix milliseconds, ``now_us`` microseconds."""

    def admit(self, now_us: int, token: str, who: str) -> AdmissionReading:
        """Answer whether a call may run."""
        now_ms = now_us // 1000
        self._reclaim(now_ms)
        moved = ""
        if self.state is CircuitState.CLOSED:
            met = self._calls_hang(now_ms)
            if met is None:
                return self._admit_closed(now_ms, token)
            moved = self._open(met.why, who, now_us, None)
        observes = self.observes
        if self.state is CircuitState.OPEN:
            self._shorten()
            if self.open_until is None or now_ms < self.open_until:
                wait_ms = None if self.open_until is None else self.open_until - now_ms
                return self._turn_away(now_ms, token, None, wait_ms, moved)
        latest = now_ms + self.settings["probe_timeout_ms"]
        for probe in self.probes:
            self.probe_leases[probe] = min(self.probe_leases[probe], latest)
        if len(self.probes) >= self.settings["half_open_max_calls"]:
            wait_ms = min(self.probe_leases[probe] - now_ms for probe in self.probes)
            return self._turn_away(now_ms, token, None, min(wait_ms, PROBES_BUSY_RETRY_MS), "")
        if self.state is CircuitState.OPEN:
            why = "open_timeout_over"
            if self.mode is CircuitMode.HELD_OPEN:
                why = "hold_over"
                self.mode = CircuitMode.AUTOMATIC
                self.held = {}
            moved = self._transition(CircuitState.HALF_OPEN, why, who, now_us)
        probe = PROBE_PREFIX + token
        self.probes.append(probe)
        self.probe_leases[probe] = now_ms + self.settings["probe_timeout_ms"]
        return self._admitted(probe, moved, observes=observes)

    def report(self, now_us: int, report: Report, who: str) -> ReportReading:
        """Take note of how an admitted call ended."""
        now_ms = now_us // 1000
        self._reclaim(now_ms)
        token = report.admission.token
        leases = self.probe_leases if report.admission.is_probe else self.call_leases
        if leases.pop(token, None) is None:
            return ReportReading("unknown", "", ())
        self.tallies[TALLY_OF_OUTCOME[report.outcome]] += 1
        if report.outcome is Outcome.FAILURE:
            self._note_failure(now_ms, report.exception, who)
        if token in self.probes:
            self.probes.remove(token)
        if report.admission.is_observed:
            return ReportReading("counted", "", ())
        if report.admission.epoch != str(self.epoch):
            self.tallies["late_results"] += 1
            return ReportReading("late", "", ())
        return ReportReading("counted", self.learn(now_us, report, who), ())

    def refresh(self, now_us: int, batch: Batch, told: str, who: str) -> RefreshReading:
        """Take note of calls that ended where the state was known from before, and say where it stands."""
        now_ms = now_us // 1000
        self._reclaim(now_ms)
        self.batches.discard(told)
        if not batch.name:
            return self._standing(now_ms, "counted", "")
        if batch.name in self.batches:
            return self._standing(now_ms, "repeated", "")
        self.batches.add(batch.name)
        for outcome, times in batch.outcomes.items():
            self.tallies[TALLY_OF_OUTCOME[outcome]] += times
        self.tallies["rejected_calls"] += batch.rejected
        if batch.outcomes.get(Outcome.FAILURE):
            self._note_failure(now_ms, batch.exception, who)
        results = sum(batch.outcomes.values())
        if results and batch.epoch != str(self.epoch):
            self.tallies["late_results"] += results
            return self._standing(now_ms, "late", "")
        moved = ""
        if self.state is CircuitState.CLOSED:
            moved = self._learn_from(
                now_us,
                Ended(
                    batch.outcomes.get(Outcome.SUCCESS, 0),
                    batch.outcomes.get(Outcome.FAILURE, 0),
                    batch.slow,
                    who,
                    batch.retry_after_ms,
                ),
            )
        return self._standing(now_ms, "counted", moved)

    def fail(self, now_us: int, epoch: str, report: Report, who: str) -> str:
        """Take note of one failure of a call of ``epoch`` without a lease; return the transition or ''."""
        self.tallies["failed_calls"] += 1
        self._note_failure(now_us // 1000, report.exception, who)
        if epoch != str(self.epoch):
            self.tallies["late_results"] += 1
            return ""
        return self.learn(now_us, report, who)

    def learn(self, now_us: int, report: Report, who: str) -> str:
        """Let the end of a call decide, and tally nothing; return the transition or an empty text."""
        outcome = report.outcome
        if self.state is CircuitState.HALF_OPEN:
            if outcome is Outcome.FAILURE:
                return self._open("probe_failed", who, now_us, report.retry_after_ms)
            if outcome is Outcome.SUCCESS:
                self.success_count += 1
                if self.success_count >= self.settings["success_threshold"]:
                    moved = self._transition(CircuitState.CLOSED, "success_threshold", who, now_us)
                    if self.settings["ramp_up_ms"]:
                        self.ramp_until = now_us // 1000 + self.settings["ramp_up_ms"]
                        self.ramp_credit = 1000
                    return moved
        elif self.state is CircuitState.CLOSED:
            is_failure = outcome is Outcome.FAILURE
            ended = Ended(
                int(outcome is Outcome.SUCCESS),
                int(is_failure),
                int((is_failure or outcome is Outcome.SUCCESS) and self.is_slow(report.duration_ms)),
                who,
                report.retry_after_ms,
            )
            return self._learn_from(now_us, ended)
        return ""

    def control(self, now_us: int, act: Act, who: str, reason: str, hold_ms: int | None) -> ControlReading:
        """Take the circuit in hand, or let it go."""
        now_ms = now_us // 1000
        self._reclaim(now_ms)
        if act is Act.ENABLE and self.mode is not CircuitMode.DISABLED:
            self._record(self.state, act.value, who)
            return ControlReading("done", "", ())
        self.mode, state = _AFTER[act]
        self.held = {}
        if self.mode is not CircuitMode.AUTOMATIC:
            self.held = {"held_by": who, "held_reason": reason, "held_at": str(now_ms)}
        moved = ""
        if self.state is not state:
            moved = self._transition(state, act.value, who, now_us)
        else:
            self._record(state, act.value, who)
        if state is CircuitState.CLOSED:
            self._forget_results()
            self.reopenings = self.ramp_until = self.ramp_credit = None
        else:
            self.open_until = None if hold_ms is None else now_ms + hold_ms
        return ControlReading("done", moved, ())

    def _admit_closed(self, now_ms: int, token: str) -> AdmissionReading:
        turned_away = self._turned_away(now_ms)
        if turned_away is not None:
            why, wait_ms = turned_away
            return self._turn_away(now_ms, token, why, wait_ms, "")
        self.call_leases[token] = now_ms + self.settings["lease_timeout_ms"]
        is_viewable = not self._must_ask_each(now_ms)
        return self._admitted(token, "", observes=self.observes, is_viewable=is_viewable)

    def _learn_from(self, now_us: int, ended: Ended) -> str:
        if self.mode is not CircuitMode.AUTOMATIC:
            return ""
        met: Met | None = self._learn_closed(now_us // 1000, ended)
        return "" if met is None else self._open(met.why, ended.who, now_us, ended.retry_after_ms)

    def _open(self, why: str, who: str, now_us: int, retry_after_ms: int | None) -> str:
        self._count_reopening(now_us // 1000)
        moved = self._transition(CircuitState.OPEN, why, who, now_us)
        self.retry_after_ms = retry_after_ms
        self.open_until = now_us // 1000 + self._opening_ms()
        return moved

    def _note_failure(self, now_ms: int, exception: str, who: str) -> None:
        self.last_failure = {
            "last_failure_time": str(now_ms),
            "last_failure_type": exception,
            "last_failure_by": who,
        }

    def _standing(self, now_ms: int, verdict: str, moved: str) -> RefreshReading:
        retry_after = None
        if self.state is CircuitState.OPEN and self.open_until is not None:
            retry_after = max(0, self._ends_at(self.open_until) - now_ms) / 1000
        elif self.state is CircuitState.CLOSED and self._must_ask_each(now_ms):
            retry_after = 0.0
        mode = CircuitMode.OBSERVE if self.observes else self.mode
        return RefreshReading(verdict, self.state, mode, str(self.epoch), retry_after, moved, ())

    def _transition(self, after: CircuitState, why: str, who: str, now_us: int) -> str:
        """Change the state: the one door."""
        transition = Transition(self.state, after)
        self._record(after, why, who)
        self.state = after
        self.epoch = max(self.epoch + 1, now_us)
        self.last_state_change = now_us // 1000
        self.success_count = 0
        if after is CircuitState.OPEN:
            self.opened_at = now_us // 1000
            self.retry_after_ms = None
        elif after is CircuitState.CLOSED:
            self._forget_results()
            self.opened_at = self.open_until = self.retry_after_ms = None
        self.ramp_until = self.ramp_credit = None
        self.tallies[transition.name] += 1
        return transition.name

    def _admitted(
        self, token: str, moved: str, *, observes: bool, is_viewable: bool = True
    ) -> AdmissionReading:
        mode = CircuitMode.OBSERVE if observes else self.mode
        return AdmissionReading(Admission(token, str(self.epoch)), None, mode, moved, (), is_viewable)

    def _turn_away(
        self, now_ms: int, token: str, why: str | None, wait_ms: int | None, moved: str
    ) -> AdmissionReading:
        """Reject a call, or let it run and decide nothing where nothing is enforced."""
        if self.observes:
            self.tallies["observed_rejections"] += 1
            observed = OBSERVED_PREFIX + token
            self.call_leases[observed] = now_ms + self.settings["lease_timeout_ms"]
            # It is of no epoch: whatever it comes to decides nothing.
            admission = Admission(observed, "0")
            return AdmissionReading(admission, None, CircuitMode.OBSERVE, moved, (), is_viewable=False)
        self.tallies["rejected_calls"] += 1
        retry_after = None if wait_ms is None else wait_ms / 1000
        because = WHY_TURNED_AWAY[why] if why else refused_because(self.state, self.mode)
        refusal = CircuitBreakerError(self.name, self.state, retry_after, because)
        return AdmissionReading(None, refusal, self.mode, moved, ())

    def _shorten(self) -> None:
        if self.open_until is not None:
            self.open_until = self._ends_at(self.open_until)

    def _ends_at(self, open_until: int) -> int:
        """Hold an opening to a shorter `timeout` that was declared while it lasts."""
        if self.mode is CircuitMode.AUTOMATIC and self.opened_at is not None:
            return min(open_until, self.opened_at + self._opening_ms())
        return open_until

    def _reclaim(self, now_ms: int) -> None:
        for leases in (self.call_leases, self.probe_leases):
            ended = []
            for token, ends_ms in leases.items():
                if ends_ms <= now_ms:
                    ended.append(token)
                elif self._leases_in_order:
                    break
            for token in ended:
                del leases[token]
                if token in self.probes:
                    self.probes.remove(token)
            self.tallies["lost_calls"] += len(ended)
