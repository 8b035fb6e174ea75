"""Measures while others leave the machine alone; again, where they did not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from benchmarks.bench import Bench
from benchmarks.machine import Others

CALM_CORES = 0.06
"""Others may use so much of a core beside what counts as calm."""
MOST_TRIES = 4
REST_SECONDS = 0.05

T = TypeVar("T")


class Gate:
    """Hands out tries until there are no more.

    Args:
        bench: whose server is no stranger.
        tries: how often in all something may be done again.

    """

    def __init__(self, bench: Bench, tries: int) -> None:
        self._bench = bench
        self._left = tries

    def calmest(self, pids: Iterable[int], measure: Callable[[], T]) -> tuple[T, float]:
        """Return what ``measure`` returned in its calmest try, and the cores that others used beside it.

        ``pids`` are the processes that it uses.
        """
        tried: list[tuple[float, T]] = []
        for _ in range(MOST_TRIES):
            others = Others([self._bench.server.pid, *pids])
            measured = measure()
            tried.append((others.cores or 0.0, measured))
            if tried[-1][0] <= CALM_CORES or self._left <= 0:
                break
            self._left -= 1
            time.sleep(REST_SECONDS)
        cores, measured = min(tried, key=lambda pair: pair[0])
        return measured, cores
