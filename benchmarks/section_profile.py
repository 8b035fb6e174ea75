"""Where the time of a call goes, by samples of the running function: what it costs is not changed by looking.

A sample names the Python function that is on top; what it calls in C, a socket's `recv` say, is part of it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.bench import Bench
from benchmarks.catalogue import ASYNC_STRICT, STALE, STRICT
from benchmarks.scenario import Scenario, SkippedSubjectError

PROFILED = (
    (STRICT, Scenario.SUCCESS),
    (STALE, Scenario.SUCCESS),
    (STALE, Scenario.FAILURE),
    (ASYNC_STRICT, Scenario.SUCCESS),
)
SAMPLE_SECONDS = 0.0005
BLOCK = 200
LINES = 16
SHORTEST_SECONDS = 0.3
LONGEST_SECONDS = 2.0


def measure(bench: Bench) -> dict[str, str]:
    """Return a table as text for each of our subjects, by its label."""
    seconds = max(SHORTEST_SECONDS, LONGEST_SECONDS * min(1.0, bench.effort.rounds / 20))
    tables = {}
    for key, scenario in PROFILED:
        for entry in bench.chosen(key):
            try:
                with bench.worker(entry.environment) as worker:
                    tables[f"{entry.label}, {scenario.value}"] = worker.ask(
                        "measure",
                        function="section_profile:sampled",
                        arguments={
                            "adapter": entry.adapter,
                            "scenario": scenario.value,
                            "url": bench.url_for(entry),
                            "options": entry.options,
                            "seconds": seconds,
                        },
                    )
            except SkippedSubjectError as why:
                bench.skip(entry, why)
    return tables


def sampled(adapter: str, scenario: str, url: str, options: dict[str, Any], seconds: float) -> str:
    """Run calls for so long and say in which functions they were. Runs in a worker."""
    from benchmarks.worker import Worker  # noqa: PLC0415

    worker = Worker()
    name = f"profiled-{os.getpid()}-{scenario}"
    worker.prepare("it", adapter=adapter, scenario=scenario, url=url, name=name, options=options)
    worker.run("it", BLOCK)
    seen: Counter[str] = Counter()

    def look(_number: int, frame: FrameType | None) -> None:
        if frame is not None:
            seen[_name(frame)] += 1

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, SAMPLE_SECONDS, SAMPLE_SECONDS)
    calls = 0
    start = time.perf_counter()
    try:
        while (passed := time.perf_counter() - start) < seconds:
            worker.run("it", BLOCK)
            calls += BLOCK
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return _table(seen, passed / calls * 1e6)


def _name(frame: FrameType) -> str:
    code = frame.f_code
    path = Path(code.co_filename)
    package = next(
        (part for part in ("sharedbreaker", "redis", "benchmarks", "asyncio") if part in path.parts), ""
    )
    where = path.parts[path.parts.index(package) :] if package else path.parts[-1:]
    # The last of a name is the deepest: a checkout may be called like the package.
    if package and path.parts.count(package) > 1:
        last = len(path.parts) - 1 - path.parts[::-1].index(package)
        where = path.parts[last:]
    function = code.co_qualname if sys.version_info >= (3, 11) else code.co_name
    return f"{'/'.join(where)}: {function}"


def _table(seen: Counter[str], us_per_call: float) -> str:
    total = seen.total()
    lines = [f"{us_per_call:.2f} us per call, {total} samples", "", "share  us/call  function"]
    lines += [
        f"{count / total:5.1%}  {count / total * us_per_call:7.2f}  {name}"
        for name, count in seen.most_common(LINES)
    ]
    rest = total - sum(count for _, count in seen.most_common(LINES))
    lines.append(f"{rest / total:5.1%}  {rest / total * us_per_call:7.2f}  everything else")
    return "\n".join(lines)
