"""What a breaker takes: in Redis when idle, in Redis per call in flight, and in the process."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

from benchmarks.bench import Bench
from benchmarks.catalogue import ASYNC_STRICT, STALE, STRICT, Entry
from benchmarks.scenario import Scenario, SkippedSubjectError
from benchmarks.worker_process import WorkerProcess

IN_FLIGHT = (100, 1000)
BREAKERS = 200


def measure(bench: Bench) -> dict[str, Any]:
    """Return bytes, by subject."""
    rows: dict[str, Any] = {}
    for entry in bench.chosen(STRICT, STALE, ASYNC_STRICT):
        try:
            rows[entry.key] = {**_in_redis(bench, entry), "in_process": _in_process(bench, entry)}
        except SkippedSubjectError as why:
            bench.skip(entry, why)
    return rows


def _in_redis(bench: Bench, entry: Entry) -> dict[str, Any]:
    name = f"memory-{entry.key}"
    with bench.worker(entry.environment) as worker:
        for scenario in (Scenario.SUCCESS, Scenario.FAILURE, Scenario.SUCCESS):
            target = bench.prepare(worker, entry, scenario, name)
            worker.ask("run", target=target, calls=20)
    key = f"sharedbreaker:{{{name}}}"
    events = f"{key}:events"
    keys = [found for found in bench.redis.scan_iter(match=f"{key}*") if found != events]
    row: dict[str, Any] = {
        "idle": sum(_usage(bench, found) for found in keys),
        "events": _usage(bench, events),
    }
    if entry.key != STRICT:
        return row
    for calls in IN_FLIGHT:
        flying = f"{name}-{calls}"
        with bench.worker(entry.environment) as worker:
            worker.ask(
                "measure",
                function="section_memory:admit_and_leave",
                arguments={"url": bench.server.url, "name": flying, "calls": calls},
            )
        row[f"in_flight_{calls}"] = _usage(bench, f"sharedbreaker:{{{flying}}}:leases") / calls
    return row


def _usage(bench: Bench, key: str) -> int:
    return int(bench.redis.memory_usage(key, samples=0) or 0)


def admit_and_leave(url: str, name: str, calls: int) -> None:
    """Admit so many calls that never end. Runs in a worker."""
    from sharedbreaker import CircuitBreaker  # noqa: PLC0415

    breaker = CircuitBreaker(name=name, redis=url)
    for _ in range(calls):
        breaker.admit()


def _in_process(bench: Bench, entry: Entry) -> float:
    # A fresh one: what was imported and cached before must not count, and nothing else may be traced.
    with WorkerProcess(entry.environment) as worker:
        taken = worker.ask(
            "measure",
            function="section_memory:bytes_per_breaker",
            arguments={"adapter": entry.adapter, "url": bench.server.url, "options": entry.options},
        )
    return float(taken)


def bytes_per_breaker(adapter: str, url: str, options: dict[str, Any]) -> float:
    """Make breakers, use each once, and return the traced bytes of one. Runs in a worker of its own."""
    from benchmarks.worker import Worker  # noqa: PLC0415

    worker = Worker()

    def make(target: str) -> None:
        worker.prepare(
            target, adapter=adapter, scenario="success", url=url, name=f"traced-{target}", options=options
        )
        worker.run(target, 2)

    make("first")
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(BREAKERS):
        make(str(number))
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / BREAKERS
