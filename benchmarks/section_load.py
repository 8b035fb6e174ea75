"""What a staleness asks of Redis: it grows with processes, not with calls."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from redis import Redis

from benchmarks.bench import Bench
from benchmarks.catalogue import STALE, STALENESS_SECONDS, Entry
from benchmarks.scenario import Scenario, SkippedSubjectError
from benchmarks.server_counts import totals
from benchmarks.worker_process import WorkerProcess

GAPS = (0.01, 0.001)
"""Seconds between two calls of a process: up to 100 calls a second, and up to ten times as many."""


def measure(bench: Bench) -> dict[str, Any]:
    """Return scripts a second by number of processes, at a pace and at ten times that pace."""
    rows: list[dict[str, float]] = []
    with ExitStack() as stack:
        for entry in bench.chosen(STALE):
            most = max(bench.effort.process_counts)
            workers = [stack.enter_context(bench.worker(entry.environment)) for _ in range(most)]
            cells = [(processes, gap) for processes in bench.effort.process_counts for gap in GAPS]
            try:
                rows = [_cell(bench, entry, workers[:processes], gap) for processes, gap in cells]
            except SkippedSubjectError as why:
                bench.skip(entry, why)
    return {"rows": rows, "max_staleness": STALENESS_SECONDS}


def _cell(bench: Bench, entry: Entry, workers: list[WorkerProcess], gap: float) -> dict[str, float]:
    name = f"load-{len(workers)}-{gap}"
    targets = [(worker, bench.prepare(worker, entry, Scenario.SUCCESS, name)) for worker in workers]
    for worker, target in targets:
        worker.ask("run", target=target, calls=20)
    calls = round(bench.effort.load_seconds / gap)
    before = totals(bench.redis)
    started = _seconds(bench.redis)
    for worker, target in targets:
        worker.tell("pace", target=target, calls=calls, gap=gap)
    for worker, _ in targets:
        worker.answer()
    passed = _seconds(bench.redis) - started
    after = totals(bench.redis)
    for worker, target in targets:
        worker.ask("forget", target=target)
    return {
        "processes": len(workers),
        "gap": gap,
        "calls_per_second": calls * len(workers) / passed,
        "scripts_per_second": (after.scripts - before.scripts) / passed,
        "bound": len(workers) / STALENESS_SECONDS,
    }


def _seconds(redis: Redis) -> float:
    seconds, microseconds = redis.time()
    return float(seconds) + float(microseconds) / 1e6
