"""What importing costs: sharedbreaker beside redis alone, each in an interpreter of its own."""

from __future__ import annotations

import random
import subprocess
from typing import Any

from benchmarks.bench import Bench
from benchmarks.catalogue import OURS
from benchmarks.environments import ROOT, python_of
from benchmarks.statistic import ratios, spread

MODULES = ("redis", "sharedbreaker")
CODE = "import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"


def measure(bench: Bench) -> dict[str, Any]:
    """Return the seconds that each import takes, and the ratio of ours to redis within each round."""
    taken: dict[str, list[float]] = {module: [] for module in MODULES}
    dice = random.Random(20)
    for module in MODULES:
        _seconds(module)  # so that all byte code is compiled and in the page cache
    for _ in range(bench.effort.import_rounds):
        for module in dice.sample(MODULES, len(MODULES)):
            taken[module].append(_seconds(module))
    return {
        **{module: spread(seconds).as_dict() for module, seconds in taken.items()},
        "ratio": ratios(taken["sharedbreaker"], taken["redis"]).as_dict(),
    }


def _seconds(module: str) -> float:
    code = CODE.format(module=module)
    answer = subprocess.run(
        [str(python_of(OURS)), "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return float(answer.stdout)
