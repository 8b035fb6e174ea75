"""Threads that call breakers all the time and keep books of their own."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from topology_lifecycle import ServiceDownError, wait_until

from sharedbreaker import CircuitBreaker, CircuitBreakerError

PAUSE_SECONDS = 0.002
TICK_SECONDS = 0.02


class Traffic:
    """Calls from many threads, each through one of the breakers in turn, until the `with` block ends.

    Args:
        breakers: what is called.
        threads: how many call.
        pause: seconds that a thread rests between two calls.

    """

    def __init__(
        self, breakers: Sequence[CircuitBreaker], threads: int = 8, pause: float = PAUSE_SECONDS
    ) -> None:
        self.service_fails = False
        self.broken: list[BaseException] = []
        """What came out of a call and is neither the service's nor an honest rejection."""
        self.calls = 0
        self.longest = 0.0
        """The longest time that a call took; the service itself takes none."""
        self.stood_still = 0.0
        """Seconds altogether for which the machine let a thread wait that wanted to go on."""
        self._books: dict[str, Counter[str]] = {breaker.name: Counter() for breaker in breakers}
        self._breakers = list(breakers)
        self._pause = pause
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(threads)
        ]
        self._threads.append(threading.Thread(target=self._watch_the_machine, daemon=True))

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads), "a call hangs"
        assert not self.broken, f"{len(self.broken)} calls failed because of the breaker: {self.broken[0]!r}"

    def counts(self, name: str) -> dict[str, int]:
        """How the calls of the breaker `name` ended."""
        with self._lock:
            books = self._books[name]
            return {outcome: books[outcome] for outcome in ("success", "failure", "rejected")}

    def wait_for_calls(self, number: int) -> None:
        """Wait for so many calls more."""
        goal = self.calls + number
        wait_until(lambda: self.calls >= goal, f"{number} more calls", 60)

    def _service(self) -> str:
        if self.service_fails:
            raise ServiceDownError("503")
        return "done"

    def _run(self, number: int) -> None:
        while not self._ends.is_set():
            self._call(self._breakers[number % len(self._breakers)])
            number += 1
            self._ends.wait(self._pause)

    def _watch_the_machine(self) -> None:
        last = time.monotonic()
        while not self._ends.wait(TICK_SECONDS):
            now = time.monotonic()
            self.stood_still += max(0.0, now - last - 2 * TICK_SECONDS)
            last = now

    def _call(self, breaker: CircuitBreaker) -> None:
        outcome = "broken"
        began = time.monotonic()
        try:
            outcome = "success" if breaker.call(self._service) == "done" else "broken"
        except ServiceDownError:
            outcome = "failure"
        except CircuitBreakerError:
            outcome = "rejected"
        except BaseException as error:
            self.broken.append(error)
        took = time.monotonic() - began
        with self._lock:
            self.calls += 1
            self._books[breaker.name][outcome] += 1
            self.longest = max(self.longest, took)
