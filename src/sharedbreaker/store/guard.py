"""The guard around Redis: while it is away, one call per interval asks for it, and the others do not wait."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from sharedbreaker.store.process import ForgetsAtFork, call_forget_in_children


class Guard(ForgetsAtFork):
    """Whether it is worth asking, for all threads of one process.

    Args:
        retry_interval: seconds between two tries while there is no answer.

    """

    def __init__(self, retry_interval: float) -> None:
        self.retry_interval = retry_interval
        self.forget()
        call_forget_in_children(self)

    def forget(self) -> None:
        """Start as if the last question had been answered."""
        self.is_away = False
        self._try_at = 0.0
        self._lock = threading.Lock()
        self._settler: threading.Thread | None = None
        self._is_settler_wanted = False

    def may_ask(self) -> bool:
        """Return whether this call may ask. While there is no answer, that is one call per interval."""
        if not self.is_away:
            return True
        with self._lock:
            now = time.monotonic()
            if now < self._try_at:
                return False
            self._try_at = now + self.retry_interval
            return True

    @property
    def next_try_at(self) -> float:
        """Monotonic moment of the next try; long ago while there are answers."""
        return self._try_at if self.is_away else -math.inf

    def settle_soon(self, settle: Callable[[], None]) -> None:
        """Run ``settle`` from its beginning in a thread of its own: no call waits for old books."""
        with self._lock:
            # Where it runs already it may have looked at these books, and so runs once more.
            self._is_settler_wanted = True
            if self._settler is not None and self._settler.is_alive():
                return
            self._settler = threading.Thread(
                target=self._settle_while_wanted, args=(settle,), name="sharedbreaker-settle", daemon=True
            )
            try:
                self._settler.start()
            except RuntimeError:  # the interpreter is leaving; what is owed is told at exit
                self._settler = None

    def _settle_while_wanted(self, settle: Callable[[], None]) -> None:
        while True:
            with self._lock:
                if not self._is_settler_wanted:
                    self._settler = None
                    return
                self._is_settler_wanted = False
            settle()

    def failed(self) -> None:
        """Take note that a question was not answered."""
        with self._lock:
            self.is_away = True
            self._try_at = time.monotonic() + self.retry_interval

    def answered(self) -> None:
        """Take note that a question was answered."""
        self.is_away = False
