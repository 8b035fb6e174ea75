"""Telling a user's function that a circuit lost Redis or has it again: each change once, in its turn."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

logger = logging.getLogger("sharedbreaker")


class News:
    """The changes of one circuit in one process, and the function that wants to know.

    Args:
        name: the circuit's, for the log.
        on_redis_change: called with False when Redis is lost and True when it is back; None tells nobody.

    """

    def __init__(self, name: str, on_redis_change: Callable[[bool], None] | None) -> None:
        self._name = name
        self._on_redis_change = on_redis_change
        self._untold: deque[bool] = deque()
        self._telling = threading.Lock()

    def add(self, *, available: bool) -> None:
        """Take note of a change. To be called in the order of the changes."""
        if self._on_redis_change is not None:
            self._untold.append(available)

    def tell(self) -> None:
        """Tell what is untold, by one thread at a time, for which no other waits."""
        while self._untold and self._telling.acquire(blocking=False):
            try:
                self._tell_next()
            finally:
                self._telling.release()

    def _tell_next(self) -> None:
        if self._on_redis_change is None or not self._untold:
            return
        try:
            self._on_redis_change(self._untold.popleft())
        except Exception:
            logger.exception("circuit %r: on_redis_change failed; nothing else changed", self._name)
