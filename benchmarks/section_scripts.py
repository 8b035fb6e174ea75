"""What each script takes inside the server, beside one that reads and writes one field of a hash."""

from __future__ import annotations

import hashlib
import random
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks.bench import Bench
from benchmarks.catalogue import STALE, STALENESS_SECONDS, STRICT, Entry
from benchmarks.floor import ONE_FIELD_SCRIPT, SCRIPT, packed
from benchmarks.replay import Pipeline, Recording, recorded, recorded_apart, steps_of
from benchmarks.scenario import Scenario, SkippedSubjectError
from benchmarks.server_counts import totals
from benchmarks.statistic import ratios, spread

AT_ONCE = 16
CALLS = 16
"""Under way at once while admissions are measured apart from reports."""
TIMES = 3
MOST_ROUNDS = 11

ONE_FIELD = "one field"
FLOOR_SCRIPT = "floor"
LEAST_OF_ADMISSION = "clock, six fields and a lease, and no rule"
LEAST_SCRIPT = """
local time = redis.call('TIME')
local seen = redis.call('HMGET', KEYS[1], 'state', 'mode', 'epoch', 'reclaim_at', 'lease_timeout_ms', 'rules')
redis.call('ZADD', KEYS[2], ARGV[1], 'token')
return seen[1] or time[1]
"""
"""What an admission would take that decided nothing."""
KINDS = (
    (STRICT, Scenario.SUCCESS, ("admit, closed", "report a success")),
    (STRICT, Scenario.FAILURE, ("", "report a failure")),
    (STRICT, Scenario.REJECTION, ("admit, open",)),
)
REFRESH = "refresh a view"
REFRESHES = 6
CALLS_PER_REFRESH = 5


def recordings(bench: Bench, stack: ExitStack) -> dict[str, tuple[Recording, tuple[str, ...]]]:
    """Return our recordings by what they are, with a name for each of their steps."""
    found: dict[str, tuple[Recording, tuple[str, ...]]] = {}
    for key, scenario, steps in KINDS:
        for entry in bench.chosen(key):
            found[f"{key} {scenario.value}"] = (recording(bench, stack, entry, scenario), steps)
    for entry in bench.chosen(STALE):
        worker = stack.enter_context(bench.worker(entry.environment))
        try:
            target = bench.prepare(worker, entry, Scenario.SUCCESS)
            gap = STALENESS_SECONDS / CALLS_PER_REFRESH
            number = REFRESHES * CALLS_PER_REFRESH
            calls = partial(worker.ask, "pace", target=target, calls=number, gap=gap)
            calls()
            found[STALE] = (recorded_apart(bench, target, calls), (REFRESH,))
        except SkippedSubjectError as why:
            bench.skip(entry, why)
    return found


def recording(bench: Bench, stack: ExitStack, entry: Entry, scenario: Scenario) -> Recording:
    """Record a subject's calls."""
    worker = stack.enter_context(bench.worker(entry.environment))
    target = bench.prepare(worker, entry, scenario)
    return recorded(bench, target, partial(worker.ask, "run", target=target, calls=1))


def measure(bench: Bench) -> dict[str, Any]:
    """Return server microseconds per script and their ratio to the script with one field."""
    with ExitStack() as stack:
        pipeline = Pipeline(bench.server.url)
        stack.callback(pipeline.close)
        ours = recordings(bench, stack)
        anchors = {
            ONE_FIELD: _fixed(pipeline, ONE_FIELD_SCRIPT),
            FLOOR_SCRIPT: _fixed(pipeline, SCRIPT),
            LEAST_OF_ADMISSION: _fixed(pipeline, LEAST_SCRIPT, "leases"),
        }
        taken: dict[str, list[float]] = {}
        dice = random.Random(20)
        for _ in range(min(MOST_ROUNDS, bench.effort.rounds)):
            for name in dice.sample([*anchors, *ours], len(anchors) + len(ours)):
                found, steps = ours.get(name, (None, (name,)))
                for _ in range(TIMES):
                    commands = [[anchors[name]] * CALLS] if found is None else steps_of(found, CALLS)
                    for step, batch in zip(steps, commands, strict=True):
                        us = _us(bench, pipeline, batch)
                        if step:
                            taken.setdefault(step, []).append(us)
        return {
            name: {"us": spread(us).as_dict(), "ratio": ratios(us, taken[ONE_FIELD]).as_dict()}
            for name, us in taken.items()
        }


def _fixed(pipeline: Pipeline, script: str, second: str = "b") -> bytes:
    pipeline.send([packed("SCRIPT", "LOAD", script)])
    sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
    return packed("EVALSHA", sha, "2", "{bench-script}:a", f"{{bench-script}}:{second}", "1700000000000")


def _us(bench: Bench, pipeline: Pipeline, commands: list[bytes]) -> float:
    before = totals(bench.redis)
    for start in range(0, len(commands), AT_ONCE):
        pipeline.send(commands[start : start + AT_ONCE])
    after = totals(bench.redis)
    return (after.script_us - before.script_us) / (after.scripts - before.scripts)
