"""When a closed circuit opens, and which calls it turns away: what ``lua/trip_rules.lua`` says, in Python."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from sharedbreaker.circuit.circuit_record import CircuitRecord
from sharedbreaker.circuit.settings import MOST_REPORTERS
from sharedbreaker.circuit.state import CircuitMode, CircuitState

LEAST_SHARE_PERMILLE = 100
RAMP_RETRY_MS = 1000
TOKEN_PREFIX_LENGTH = 12


class Ended(NamedTuple):
    """Calls of a closed circuit that ended: successes, and then perhaps one that failed."""

    successes: int
    failed: int
    slow: int
    """How many of all these were slow."""
    who: str
    """The process that says so."""
    retry_after_ms: int | None = None
    """Milliseconds after which the service asked to be called again, with the failure."""


class Met(NamedTuple):
    """A rule that is met, with its figures."""

    why: str
    figures: Mapping[str, int]


class TripRules(CircuitRecord):
    """The rules of a closed circuit. Times are Unix milliseconds."""

    def is_slow(self, duration_ms: int | None) -> bool:
        """Return whether a call that took so long is a slow one."""
        if duration_ms is None or not self._percent("slow_call_rate"):
            return False
        return duration_ms >= self.settings["slow_call_duration_ms"]

    def _learn_closed(self, now_ms: int, ended: Ended) -> Met | None:
        """Count calls that ended; return the rule that is met by them. A success meets none."""
        if not ended.successes and not ended.failed:
            return None
        self._count_closed(now_ms, ended)
        threshold = self.settings["failure_threshold"]
        if ended.failed and 0 < threshold <= self.failure_count and self._is_agreed(self.failing_since or 0):
            return Met("failure_threshold", {"failure_count": self.failure_count})
        if ended.failed and self._percent("failure_rate"):
            all_calls, failed = self.windows["failure_rate"].sums(self.settings, now_ms)
            is_met = self._is_met("failure_rate", all_calls, failed)
            if is_met and self._is_agreed(self._window_began("failure_rate", now_ms)):
                return Met("failure_rate", {"calls": all_calls, "failed": failed})
        if ended.slow and self._percent("slow_call_rate"):
            return self._slow_calls(now_ms, len(self._overdue(now_ms)))
        return None

    def _count_closed(self, now_ms: int, ended: Ended) -> None:
        if ended.successes:
            self.failure_count = 0
        self.failure_count += ended.failed
        for name, bad in (("failure_rate", ended.failed), ("slow_call_rate", ended.slow)):
            if self._percent(name):
                self.windows[name].add(self.settings, now_ms, ended.successes + ended.failed, bad)
        if self.settings["minimum_reporters"] > 1:
            if ended.failed and self.failure_count == 1:
                self.failing_since = now_ms
            if ended.failed or ended.slow:
                self._note_reporter(now_ms, ended.who)

    def _calls_hang(self, now_ms: int) -> Met | None:
        """Return the rule that is met by calls before they end."""
        if not self._percent("slow_call_rate") or self.mode is not CircuitMode.AUTOMATIC:
            return None
        overdue = self._overdue(now_ms)
        if not overdue:
            return None
        # Who waits has reported nothing yet; its calls' tokens say whose they are.
        processes = {token[:TOKEN_PREFIX_LENGTH] for token in overdue}
        return self._slow_calls(now_ms, len(overdue), len(processes))

    def _slow_calls(self, now_ms: int, overdue: int, processes: int = 0) -> Met | None:
        calls, slow = self.windows["slow_call_rate"].sums(self.settings, now_ms)
        if not self._is_met("slow_call_rate", calls + overdue, slow + overdue):
            return None
        is_agreed = self._is_agreed(self._window_began("slow_call_rate", now_ms))
        if not is_agreed and processes < self.settings["minimum_reporters"]:
            return None
        return Met("slow_call_rate", {"calls": calls, "slow": slow, "overdue": overdue})

    def _overdue(self, now_ms: int) -> tuple[str, ...]:
        """Return the calls of this closed period that have been under way for the duration or longer."""
        lease_ms = self.settings["lease_timeout_ms"]
        first = self.last_state_change + lease_ms
        last = now_ms + lease_ms - self.settings["slow_call_duration_ms"]
        leases = {**self.call_leases, **self.probe_leases}
        return tuple(token for token, ends_ms in leases.items() if first <= ends_ms <= last)

    def _turned_away(self, now_ms: int) -> tuple[str, int | None] | None:
        """Return why a closed circuit turns a call away, and for how long; None where it may run."""
        if self.mode is not CircuitMode.AUTOMATIC:
            return None
        most = self.settings["max_in_flight"]
        if most and len(self.call_leases) + len(self.probe_leases) >= most:
            return "full", None
        left_ms, share = self._ramp(now_ms)
        if not left_ms:
            return None
        self.ramp_credit = (self.ramp_credit or 0) + share
        if self.ramp_credit >= 1000:  # noqa: PLR2004 - permille
            self.ramp_credit -= 1000
            return None
        return "ramping", min(left_ms, RAMP_RETRY_MS)

    def asks_each(self, now_ms: int) -> bool:
        """Return whether a circuit without leases elsewhere has to decide on each call by itself.

        That is so while a share of calls is let through, or while nothing is enforced, and wherever calls in
        flight count.
        """
        return self._must_ask_each(now_ms) or self.observes or self._percent("slow_call_rate") > 0

    def _must_ask_each(self, now_ms: int) -> bool:
        return self.settings["max_in_flight"] > 0 or self._ramp(now_ms)[0] > 0

    def _ramp(self, now_ms: int) -> tuple[int, int]:
        """Return the milliseconds that are left of the ramp, and the permille of calls let through."""
        ramp_up_ms = self.settings["ramp_up_ms"]
        left_ms = min((self.ramp_until or 0) - now_ms, ramp_up_ms)
        if left_ms <= 0:
            return 0, 1000
        return left_ms, max(LEAST_SHARE_PERMILLE, 1000 * (ramp_up_ms - left_ms) // ramp_up_ms)

    def _opening_ms(self) -> int:
        """How long an opening may last.

        No less than ``timeout``. The service's own word makes it longer, and so do openings that came one
        after the other without a quiet time between them, up to ``max_timeout``.
        """
        timeout_ms = self.settings["open_timeout_ms"]
        most_ms = max(timeout_ms, self.settings["max_timeout_ms"])
        if self.retry_after_ms is not None:
            return max(timeout_ms, min(self.retry_after_ms, most_ms))
        growth = self.settings["timeout_growth_percent"] / 100
        if self.reopenings is None or growth == 1:
            return timeout_ms
        try:
            grown = timeout_ms * growth**self.reopenings
        except OverflowError:
            return most_ms
        return math.floor(min(grown, most_ms))

    def _count_reopening(self, now_ms: int) -> None:
        """Before an opening: take note of how many came before it without a quiet time."""
        if self.settings["timeout_growth_percent"] == 100:  # noqa: PLR2004 - nothing grows
            return
        is_closed = self.state is CircuitState.CLOSED
        is_quiet = is_closed and now_ms - self.last_state_change >= self.settings["max_timeout_ms"]
        self.reopenings = 0 if self.reopenings is None or is_quiet else self.reopenings + 1

    def _percent(self, name: str) -> int:
        settings = self.settings
        if not (settings[f"{name}_window_ms"] or settings[f"{name}_window_calls"]):
            return 0
        if name == "slow_call_rate" and not settings["slow_call_duration_ms"]:
            return 0
        return settings[f"{name}_percent"]

    def _is_met(self, name: str, calls: int, bad: int) -> bool:
        is_enough = calls >= self.settings[f"{name}_minimum_calls"]
        return is_enough and bad * 100 >= self._percent(name) * calls

    def _window_began(self, name: str, now_ms: int) -> int:
        if self.settings[f"{name}_window_calls"]:
            return 0
        return now_ms - self.settings[f"{name}_window_ms"]

    def _note_reporter(self, now_ms: int, who: str) -> None:
        self.reporters.pop(who, None)
        self.reporters[who] = now_ms
        while len(self.reporters) > MOST_REPORTERS:
            del self.reporters[next(iter(self.reporters))]

    def _is_agreed(self, since_ms: int) -> bool:
        least = self.settings["minimum_reporters"]
        return least == 1 or sum(at_ms >= since_ms for at_ms in self.reporters.values()) >= least
