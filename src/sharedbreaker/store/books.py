"""What a process owes Redis after it could not ask: counters, and never a list that grows with an outage."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress

from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.report import Report
from sharedbreaker.circuit.settlement import Settlement

MOST_UNANSWERED_TOKENS = 256


class Books:
    """Tallies and reports of one circuit that wait for Redis. One lock around it is the caller's business."""

    def __init__(self) -> None:
        self.reports: deque[Report] = deque()
        """Ends of calls that Redis admitted: no more than were in flight when it went away."""
        self.away_ms = 0
        """How long Redis could not be asked, since the last settlement."""
        self.settled_calls = 0
        """Calls that Redis was told of since it was last away, for the log."""
        self._outcomes: Counter[Outcome] = Counter()
        self._rejected = 0
        self._unanswered_tokens: deque[str] = deque(maxlen=MOST_UNANSWERED_TOKENS)
        self._sent: Settlement | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing is owed."""
        return not (self.reports or self._sent or self._rejected or self._outcomes or self._unanswered_tokens)

    @property
    def is_place_owed(self) -> bool:
        """Whether an admission that nobody learned of may keep a place in Redis."""
        return bool(self._unanswered_tokens or (self._sent and self._sent.unanswered_tokens))

    @property
    def calls(self) -> int:
        """Calls that Redis has not been told of, as far as is known."""
        sent = self._sent
        waiting = self._outcomes.total() + self._rejected + len(self.reports)
        return waiting + (sum(sent.outcomes.values()) + sent.rejected if sent else 0)

    def count(self, outcome: Outcome, times: int = 1) -> None:
        """Take note of the ends of calls that this process admitted by itself."""
        self._outcomes[outcome] += times

    def count_rejected(self, times: int = 1) -> None:
        """Take note of calls that this process rejected by itself."""
        self._rejected += times

    def withdraw(self, token: str) -> None:
        """Take note of an admission that was asked for and never answered."""
        self._unanswered_tokens.append(token)

    def next_settlement(self, new_name: Callable[[], str]) -> Settlement | None:
        """Return what to send; None where nothing is owed but reports.

        What was sent and not confirmed is sent again as it was; what came since then waits for its turn.
        """
        if self._sent is not None:
            return self._sent
        if not (self._outcomes or self._rejected or self._unanswered_tokens):
            return None
        self._sent = Settlement(
            new_name(), self.away_ms, dict(self._outcomes), self._rejected, tuple(self._unanswered_tokens)
        )
        self._outcomes.clear()
        self._rejected = self.away_ms = 0
        self._unanswered_tokens.clear()
        return self._sent

    def confirm(self, settlement: Settlement) -> None:
        """Take note that what was sent has arrived: once, should two have sent it."""
        if self._sent is settlement:
            self.settled_calls += sum(settlement.outcomes.values()) + settlement.rejected
            self._sent = None

    def next_report(self, matters: Callable[[Report], bool] = lambda _: True) -> Report | None:
        """Return what to tell next, of those that matter; it stays here until it is confirmed."""
        return next(filter(matters, self.reports), None)

    def confirm_report(self, report: Report) -> None:
        """Take note that a report has arrived: once, should two have told it."""
        with suppress(ValueError):
            self.reports.remove(report)
