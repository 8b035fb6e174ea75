"""Ends of calls that were decided on a view and wait to be told to Redis, in batches that count once."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.refresh import Batch
from sharedbreaker.circuit.report import Report
from sharedbreaker.store.view import View


class HeldBack:
    """What one process holds back of one circuit. One lock around it is the caller's business.

    Args:
        keep_for: seconds that a view of an earlier epoch is kept for the calls that still run on it.

    """

    def __init__(self, keep_for: float) -> None:
        self._keep_for = keep_for
        self._past: deque[tuple[float, View]] = deque()
        self._unconfirmed: dict[str, Batch] = {}
        self._under_way: dict[str, Batch] = {}
        self._sendings: Counter[str] = Counter()
        self._told = ""

    @property
    def past(self) -> list[View]:
        """Views that decide nothing any more, and whose calls may still end."""
        return [view for _, view in self._past]

    @property
    def is_told(self) -> bool:
        """Whether nothing waits but what the present view counts."""
        return not self._unconfirmed and not any(view.waiting for view in self.past)

    @property
    def calls(self) -> int:
        """Calls that wait, but for those that the present view counts."""
        taken = sum(batch.calls for batch in (self._under_way | self._unconfirmed).values())
        return taken + sum(view.waiting for view in self.past if not view.is_local)

    def retire(self, view: View, now: float) -> None:
        """Keep a view whose epoch is over, for the calls that run on it."""
        view.end_now()
        # Whoever ends a call there says so, since nobody comes by any more.
        view.is_watched = False
        self._past.append((now, view))
        while self._past and self._past[0][0] < now - self._keep_for and not self._past[0][1].waiting:
            self._past.popleft()

    def batch_of(
        self, view: View, new_name: Callable[[], str], failure: Report | None = None, *, is_slow: bool = False
    ) -> Batch:
        """Return all that ``view`` counted, and a failure after it, as one batch to be sent.

        ``is_slow``: whether the failure was.
        It must come back by ``confirm`` or ``failed``. Without anything to tell it has no name.
        """
        outcomes, rejected, slow = view.take()
        if failure is not None:
            outcomes[Outcome.FAILURE] = outcomes.get(Outcome.FAILURE, 0) + 1
            slow += is_slow
        if not outcomes and not rejected:
            return Batch("", view.epoch)
        return self._taken(
            Batch(
                new_name(),
                view.epoch,
                outcomes,
                rejected,
                "" if failure is None else failure.exception,
                None if failure is None else failure.retry_after_ms,
                slow,
            )
        )

    def next_batch(self, new_name: Callable[[], str]) -> Batch | None:
        """Return what is to be sent besides the present view: a batch without an answer, or an old view's."""
        if self._unconfirmed:
            return self._taken(self._unconfirmed.pop(next(iter(self._unconfirmed))))
        for view in self.past:
            if not view.is_local and view.waiting:
                return self.batch_of(view, new_name)
        return None

    def told(self) -> str:
        """Return the name of a batch that is not sent again, so that Redis need not know it; once."""
        told, self._told = self._told, ""
        return told

    def sending(self, batch: Batch) -> None:
        """Take note that a batch is on its way."""
        self._sendings[batch.name] += 1

    def confirm(self, batch: Batch, noted: int = 1) -> None:
        """Take note that a batch has arrived. One that was sent twice may arrive again at any time.

        ``noted``: how many sendings ``sending`` knows of where there was one; 0 for who sent it unnoted.
        """
        self._under_way.pop(batch.name, None)
        self._unconfirmed.pop(batch.name, None)
        if self._sendings.pop(batch.name, 0) == noted:
            self._told = batch.name

    def failed(self, batch: Batch) -> None:
        """Take note that nobody knows whether a batch has arrived; it has to be told again."""
        self._under_way.pop(batch.name, None)
        if batch.name:
            self._unconfirmed[batch.name] = batch

    def call_back(self) -> None:
        """Have all batches that are under way told again: whoever sends them may be stopped before."""
        self._unconfirmed.update(self._under_way)

    def _taken(self, batch: Batch) -> Batch:
        self._under_way[batch.name] = batch
        return batch
