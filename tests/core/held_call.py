"""A call that stays inside its breaker, in a thread of its own, until the test lets it go."""

from __future__ import annotations

import threading

from sharedbreaker import CircuitBreaker

PATIENCE_SECONDS = 20


class HeldCall:
    """Started on creation. ``is_inside`` tells whether the breaker let it through."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self.is_inside = False
        self.result: str | None = None
        self.raised: BaseException | None = None
        self._decided = threading.Event()
        self._let_go = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(breaker,), daemon=True)
        self._thread.start()
        if not self._decided.wait(PATIENCE_SECONDS):
            raise AssertionError("the call was neither let through nor refused")

    def _run(self, breaker: CircuitBreaker) -> None:
        try:
            self.result = breaker.call(self._work)
        except BaseException as error:
            self.raised = error
        finally:
            self._decided.set()

    def _work(self) -> str:
        self.is_inside = True
        self._decided.set()
        if not self._let_go.wait(PATIENCE_SECONDS):
            raise AssertionError("the call was never let go")
        if self._error is not None:
            raise self._error
        return "done"

    def end(self, error: BaseException | None = None) -> None:
        """Let the call return, or raise ``error``, and wait until the breaker has it on its books."""
        self._error = error
        self._let_go.set()
        self._thread.join(PATIENCE_SECONDS)
        if self._thread.is_alive():
            raise AssertionError("the call did not end")
