"""Calls at a realistic pace: a sleep before each. Caches are cold then, for everybody alike."""

from __future__ import annotations

import random
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks.bench import Bench
from benchmarks.catalogue import (
    ASYNC_STALE,
    ASYNC_STRICT,
    BARE,
    BARE_ASYNC,
    CATALOGUE,
    CIRCUITBREAKER,
    FLOOR,
    PYBREAKER_MEMORY,
    PYBREAKER_REDIS,
    STALE,
    STALE_PUSH,
    STRICT,
)
from benchmarks.gate import Gate
from benchmarks.scenario import Scenario, SkippedSubjectError
from benchmarks.statistic import percentile, ratios, spread

PACED = (
    *(BARE, FLOOR, STRICT, STALE, STALE_PUSH, BARE_ASYNC, ASYNC_STRICT, ASYNC_STALE),
    *(PYBREAKER_MEMORY, CIRCUITBREAKER, PYBREAKER_REDIS, "nopanic-redis"),
)
WARM_UP_CALLS = 5


def measure(bench: Bench) -> dict[str, Any]:
    """Return, by gap and subject, what a call takes and its ratio to the bare call at that pace."""
    effort = bench.effort
    with ExitStack() as stack:
        prepared = {}
        for entry in bench.chosen(*PACED):
            worker = stack.enter_context(bench.worker(entry.environment))
            try:
                prepared[entry.key] = (worker, bench.prepare(worker, entry, Scenario.SUCCESS))
            except SkippedSubjectError as why:
                bench.skip(entry, why)
        taken: dict[float, dict[str, list[list[float]]]] = {gap: {} for gap in effort.paced_calls}
        dice = random.Random(20)
        gate = Gate(bench, len(prepared) * len(effort.paced_calls) * effort.paced_rounds // 4)
        for _ in range(effort.paced_rounds):
            pairs = [(gap, key) for gap in effort.paced_calls for key in prepared]
            for gap, key in dice.sample(pairs, len(pairs)):
                worker, target = prepared[key]
                worker.ask("pace", target=target, calls=WARM_UP_CALLS, gap=0.0)
                pace = partial(worker.ask, "pace", target=target, calls=effort.paced_calls[gap], gap=gap)
                nanoseconds, _ = gate.calmest([worker.pid], pace)
                taken[gap].setdefault(key, []).append([each / 1e9 for each in nanoseconds])
    return {
        str(gap): {
            key: {
                "seconds": spread([each for block in blocks for each in block]).as_dict(),
                "p99": percentile([each for block in blocks for each in block], 99),
                **_ratios(key, rows),
            }
            for key, blocks in rows.items()
        }
        for gap, rows in taken.items()
    }


def _ratios(key: str, rows: dict[str, list[list[float]]]) -> dict[str, Any]:
    bare = BARE_ASYNC if CATALOGUE[key].is_async else BARE
    medians = {
        name: [spread(block).median for block in rows[name]] for name in (key, bare, FLOOR) if name in rows
    }
    return {
        f"to_{name}": ratios(medians[key], medians[anchor]).as_dict()
        for name, anchor in ((BARE, bare), (FLOOR, FLOOR))
        if anchor in medians
    }
