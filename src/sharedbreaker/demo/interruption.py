"""Ctrl-C and its like, seen only where the demo waits: they never come between two steps of a clean-up."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):  # noqa: N818 - an answer to a request, not an error
    """Somebody asked the demo to end."""

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(self.signal.name)

    @property
    def exit_status(self) -> int:
        """What a shell makes of a process that ends by this signal: 130 for Ctrl-C."""
        return 128 + self.signal


class Interruption:
    """While its ``with`` block lasts, SIGINT, SIGTERM and SIGHUP raise Interrupted in ``wait`` only.

    To be entered in the main thread. A signal that the process was told to ignore stays ignored.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        self._ear, self._mouth = os.pipe()
        for number in SIGNALS:
            previous = signal.getsignal(number)
            if previous is not signal.SIG_IGN:
                self._previous[number] = previous
                signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        os.close(self._ear)
        os.close(self._mouth)

    def wait(self, seconds: float | None) -> None:
        """Wait for ``seconds``, or for good where that is None; raise Interrupted if the demo is to end."""
        ready, _, _ = select.select([self._ear], [], [], seconds)
        if ready and self._number is not None:
            raise Interrupted(self._number)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        # A pipe and not an Event: a handler may come while this very thread holds an Event's lock.
        if self._number is None:
            self._number = number
            os.write(self._mouth, b"!")
