"""How soon a change that was made elsewhere is acted on: one process opens and closes, another calls."""

from __future__ import annotations

import random
import time
from typing import Any

from benchmarks.bench import Bench
from benchmarks.catalogue import (
    ASYNC_STALE,
    ASYNC_STALE_PUSH,
    PYBREAKER_REDIS,
    STALE,
    STALE_PUSH,
    STRICT,
    Entry,
)
from benchmarks.scenario import Scenario, SkippedSubjectError
from benchmarks.statistic import spread

WATCHED = (STRICT, STALE, STALE_PUSH, ASYNC_STALE, ASYNC_STALE_PUSH, PYBREAKER_REDIS)
GAP_SECONDS = 0.001
"""The caller sleeps so long between calls, which is inside every number."""
LONGEST_SECONDS = 10.0
LEAST_REST_SECONDS = 0.03
MOST_REST_SECONDS = 0.25


def measure(bench: Bench) -> dict[str, Any]:
    """Return, for each subject, the seconds until an opening and a closing made elsewhere were acted on."""
    rows: dict[str, Any] = {}
    for entry in bench.chosen(*WATCHED):
        try:
            opened, closed = _trials(bench, entry)
        except SkippedSubjectError as why:
            bench.skip(entry, why)
            continue
        rows[entry.key] = {
            "opened": {**spread(opened).as_dict(), "max": max(opened)},
            "closed": {**spread(closed).as_dict(), "max": max(closed)},
            "bound": entry.options.get("max_staleness", 0.0),
            "trials": len(opened),
        }
    return {"rows": rows, "gap": GAP_SECONDS}


def _trials(bench: Bench, entry: Entry) -> tuple[list[float], list[float]]:
    opened: list[float] = []
    closed: list[float] = []
    dice = random.Random(20)
    with bench.worker(entry.environment) as caller, bench.worker(entry.environment) as operator:
        name = f"propagation-{entry.key}"
        watching = bench.prepare(caller, entry, Scenario.SUCCESS, name)
        handling = bench.prepare(operator, entry, Scenario.SUCCESS, name)
        caller.ask("run", target=watching, calls=20)
        for _ in range(bench.effort.trials):
            for verb, delays in (("open", opened), ("let_go", closed)):
                caller.tell(
                    "watch",
                    target=watching,
                    gap=GAP_SECONDS,
                    seconds=LONGEST_SECONDS,
                    until_open=verb == "open",
                )
                # Long enough for a view of any age, and never in step with it.
                time.sleep(dice.uniform(LEAST_REST_SECONDS, MOST_REST_SECONDS))
                done = operator.ask(verb, target=handling)
                seen = caller.answer()
                if seen is None:
                    raise RuntimeError(f"{entry.label}: {verb} was not acted on in {LONGEST_SECONDS} seconds")
                delays.append(max(0.0, seen - done))
    return opened, closed
