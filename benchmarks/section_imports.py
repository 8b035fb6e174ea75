"""What importing costs: sharedbreaker beside redis alone, each in an interpreter of its own."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
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
    with tempfile.TemporaryDirectory(prefix="sharedbreaker-imports-") as byte_code:
        for module in MODULES:
            _seconds(module, byte_code)  # so that all byte code is compiled and in the page cache
        for _ in range(bench.effort.import_rounds):
            for module in dice.sample(MODULES, len(MODULES)):
                taken[module].append(_seconds(module, byte_code))
    return {
        **{module: spread(seconds).as_dict() for module, seconds in taken.items()},
        "ratio": ratios(taken["sharedbreaker"], taken["redis"]).as_dict(),
    }


def _seconds(module: str, byte_code: str) -> float:
    code = CODE.format(module=module)
    # Whatever this machine's settings for byte code are: users of a package have it compiled.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    answer = subprocess.run(
        [str(python_of(OURS)), "-c", code],
        cwd=ROOT,
        env={**environment, "PYTHONPYCACHEPREFIX": byte_code},
        check=True,
        capture_output=True,
        text=True,
    )
    return float(answer.stdout)
