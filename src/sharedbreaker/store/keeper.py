"""The one thread of a process that renews views in time, and tells what was held back when calls stop."""

from __future__ import annotations

import logging
import threading
from functools import cache
from time import monotonic
from typing import Protocol

from sharedbreaker.store.process import ForgetsAtFork, call_forget_in_children

logger = logging.getLogger("sharedbreaker")


class Kept(Protocol):
    """Something that wants to be seen to from time to time."""

    def keep(self) -> float | None:
        """See to it; return the monotonic moment of the next time, or None for never."""


class Keeper(ForgetsAtFork):
    """Sees to what it is given, each in its time."""

    def __init__(self) -> None:
        self.forget()
        call_forget_in_children(self)

    def forget(self) -> None:
        """Start as a process that has nothing to see to."""
        self._due: dict[Kept, float] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def watch(self, kept: Kept, first_at: float) -> None:
        """See to ``kept`` from the monotonic moment ``first_at`` on, or sooner where that was said before."""
        with self._changed:
            self._due[kept] = min(first_at, self._due.get(kept, first_at))
            self._changed.notify()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="sharedbreaker-keeper", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # the interpreter is leaving; what is held back is told at exit
                    self._thread = None

    def _run(self) -> None:
        while True:
            kept = self._next()
            try:
                again_at = kept.keep()
            except Exception:
                logger.exception("a view could not be renewed; calls renew it by themselves")
                again_at = None
            if again_at is not None:
                with self._changed:
                    self._due[kept] = min(again_at, self._due.get(kept, again_at))

    def _next(self) -> Kept:
        with self._changed:
            while True:
                kept = min(self._due, key=self._due.__getitem__, default=None)
                wait = None if kept is None else self._due[kept] - monotonic()
                if kept is not None and wait is not None and wait <= 0:
                    # Whoever asks for it from now on is heard, also while it is seen to.
                    del self._due[kept]
                    return kept
                self._changed.wait(wait)


@cache
def keeper() -> Keeper:
    """Return the keeper of this process."""
    return Keeper()
