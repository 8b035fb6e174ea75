"""Calls that nobody will end any more, and the one thread of a process that gives them back.

The garbage collector may find one while the thread that it runs in holds a lock of the store's or of Redis'
client: nothing may be asked of Redis there, nor any lock be taken. To append to a deque and to put into a
SimpleQueue is safe wherever it happens.
"""

from __future__ import annotations

import atexit
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from functools import cache

from sharedbreaker.store.process import ForgetsAtFork, call_forget_in_children

logger = logging.getLogger("sharedbreaker")

SECONDS_AT_EXIT = 1.0


class DroppedCalls(ForgetsAtFork):
    """Gives back what it is handed, in a thread that starts with the first call that may be dropped."""

    def __init__(self) -> None:
        self.forget()
        call_forget_in_children(self)

    def forget(self) -> None:
        """Start as a process that has dropped nothing."""
        self._dropped: deque[Callable[[], None]] = deque()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._giving_back = threading.Lock()
        self._thread: threading.Thread | None = None

    def be_ready(self) -> None:
        """See to it that somebody gives back what is added. Not for the garbage collector."""
        if self._thread is not None:
            return
        with self._starting:
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name="sharedbreaker-dropped-calls", daemon=True)
            try:
                thread.start()
            except (
                RuntimeError
            ):  # the interpreter is leaving; what is dropped now is lost when its lease ends
                return
            self._thread = thread

    def add(self, give_back: Callable[[], None]) -> None:
        """Have ``give_back`` called soon. Safe wherever the garbage collector may run."""
        self._dropped.append(give_back)
        self._bell.put(None)

    def give_back(self, seconds_to_wait: float = -1) -> None:
        """Give back all that was dropped. One that fails is logged, and its lease runs out."""
        if not self._giving_back.acquire(timeout=seconds_to_wait):
            return
        try:
            while self._dropped:
                try:
                    self._dropped.popleft()()
                except Exception:  # noqa: PERF203
                    logger.exception("a dropped call was not released; its lease will run out")
        finally:
            self._giving_back.release()

    def _run(self) -> None:
        bell = self._bell
        while True:
            bell.get()
            self.give_back()


@cache
def dropped_calls() -> DroppedCalls:
    """Return this process' dropped calls."""
    return DroppedCalls()


@atexit.register
def _give_back_at_exit() -> None:
    dropped_calls().give_back(SECONDS_AT_EXIT)
