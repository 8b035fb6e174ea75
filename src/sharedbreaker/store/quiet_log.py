"""Warnings that cannot flood a log: of each kind one a minute at most."""

from __future__ import annotations

import logging
import time

SECONDS_BETWEEN = 60.0

logger = logging.getLogger("sharedbreaker")


class QuietLog:
    """The warnings of one circuit in one process."""

    def __init__(self) -> None:
        self._next_at: dict[str, float] = {}

    def warning(self, kind: str, message: str, *arguments: object) -> None:
        """Log a warning, unless one of the same ``kind`` was logged within the last minute."""
        now = time.monotonic()
        if now >= self._next_at.get(kind, 0.0):
            self._next_at[kind] = now + SECONDS_BETWEEN
            logger.warning(message, *arguments)
