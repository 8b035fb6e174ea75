"""One breaker under several processes at once: calls a second, and what that asks of the server."""

from __future__ import annotations

import random
import sys
import time
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks.bench import Bench
from benchmarks.catalogue import Entry
from benchmarks.gate import Gate
from benchmarks.scenario import Scenario, SkippedSubjectError
from benchmarks.server_counts import totals
from benchmarks.statistic import spread
from benchmarks.worker_process import WorkerError, WorkerProcess

Prepared = list[tuple[WorkerProcess, str]]
START_SECONDS = 0.05
BLOCK_SECONDS = 0.004


def measure(bench: Bench) -> dict[str, Any]:
    """Return, for each subject and number of processes, calls a second and the server's part in them."""
    effort = bench.effort
    with ExitStack() as stack:
        entries = [entry for entry in bench.entries if entry.in_fleet]
        workers = {
            environment: [
                stack.enter_context(bench.worker(environment)) for _ in range(max(effort.process_counts))
            ]
            for environment in {entry.environment for entry in entries}
        }
        prepared = {}
        for entry in entries:
            try:
                prepared[entry.key] = _prepared(bench, entry, workers[entry.environment])
            except SkippedSubjectError as why:
                bench.skip(entry, why)
            except WorkerError as error:
                if not entry.is_peer:
                    raise
                bench.skip(entry, str(error))
        cells: dict[str, dict[str, list[dict[str, float]]]] = {}
        dice = random.Random(20)
        gate = Gate(bench, len(prepared) * len(effort.process_counts) * effort.fleet_rounds // 4)
        for number in range(effort.fleet_rounds):
            pairs = [(key, processes) for key in prepared for processes in effort.process_counts]
            for key, processes in dice.sample(pairs, len(pairs)):
                members = prepared[key][:processes]
                cell, _ = gate.calmest(
                    [worker.pid for worker, _ in members],
                    partial(_cell, bench, members, effort.fleet_seconds),
                )
                cells.setdefault(key, {}).setdefault(str(processes), []).append(cell)
            print(f"\r  round {number + 1} of {effort.fleet_rounds}", end="", file=sys.stderr)
        print(file=sys.stderr)
        return {
            key: {
                processes: {name: spread([cell[name] for cell in measured]).as_dict() for name in measured[0]}
                for processes, measured in row.items()
            }
            for key, row in cells.items()
        }


def _prepared(bench: Bench, entry: Entry, workers: list[WorkerProcess]) -> Prepared:
    name = f"fleet-{entry.key}"
    found = [(worker, bench.prepare(worker, entry, Scenario.SUCCESS, name)) for worker in workers]
    for worker, target in found:
        worker.ask("run", target=target, calls=20)
    return found


def _cell(bench: Bench, prepared: Prepared, seconds: float) -> dict[str, float]:
    worker, target = prepared[0]
    block = worker.ask("calibrate", target=target, seconds=BLOCK_SECONDS)
    before = totals(bench.redis)
    start = time.monotonic() + START_SECONDS
    for worker, target in prepared:
        worker.tell("run_for", target=target, start=start, seconds=seconds, block=block)
    answers = [worker.answer() for worker, _ in prepared]
    after = totals(bench.redis)
    calls = sum(answer["calls"] for answer in answers)
    longest = max(answer["seconds"] for answer in answers)
    return {
        "calls_per_second": sum(answer["calls"] / answer["seconds"] for answer in answers),
        "server_us": (after.cpu_seconds - before.cpu_seconds) / calls * 1e6,
        "server_busy": (after.cpu_seconds - before.cpu_seconds) / longest,
        "scripts_per_call": (after.scripts - before.scripts) / calls,
    }
