"""What is done when a process leaves, also where it leaves as multiprocessing's children do."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable

from sharedbreaker.store.process import ForgetsAtFork, call_forget_in_children


class AtExit(ForgetsAtFork):
    """One function that is to be called when this process leaves, and when a forked child does."""

    def __init__(self, do: Callable[[], None]) -> None:
        self._do = do
        self.forget()
        call_forget_in_children(self)
        atexit.register(do)

    def forget(self) -> None:
        """Start as a process that may have been forked by anybody."""
        self._is_sure = False

    def make_sure(self) -> None:
        """See to it that the function is called: to be said when there is something to do."""
        if self._is_sure:
            return
        self._is_sure = True
        # Its children end by os._exit, after a list of its own, and begin by clearing that list. Whoever has
        # not imported it is none of them.
        processes = sys.modules.get("multiprocessing.process")
        util = sys.modules.get("multiprocessing.util")
        if processes is not None and util is not None and processes.parent_process() is not None:
            util.Finalize(None, self._do, exitpriority=0)
