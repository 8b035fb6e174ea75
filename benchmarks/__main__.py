"""`make bench`: measure, print the table of marks, write docs/performance.md."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks import (
    section_calls,
    section_cluster,
    section_fleet,
    section_imports,
    section_load,
    section_memory,
    section_metrics,
    section_paced,
    section_propagation,
    section_scale,
    section_scripts,
)
from benchmarks.bench import FULL, QUICK, TINY, running_bench
from benchmarks.catalogue import CATALOGUE, FLOOR
from benchmarks.machine import description

SECTIONS = {
    "calls": section_calls.measure,
    "scripts": section_scripts.measure,
    "paced": section_paced.measure,
    "propagation": section_propagation.measure,
    "fleet": section_fleet.measure,
    "load": section_load.measure,
    "scale": section_scale.measure,
    "cluster": section_cluster.measure,
    "memory": section_memory.measure,
    "imports": section_imports.measure,
    "metrics": section_metrics.measure,
}
EFFORTS = {"full": FULL, "quick": QUICK, "tiny": TINY}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", dest="effort", action="store_const", const="quick", default="full")
    parser.add_argument("--tiny", dest="effort", action="store_const", const="tiny")
    parser.add_argument("--sections", default=",".join(SECTIONS))
    parser.add_argument("--subjects", default=",".join(CATALOGUE))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    keys = {FLOOR, *options.subjects.split(",")}
    entries = [entry for entry in CATALOGUE.values() if entry.key in keys]
    results = {}
    with running_bench(entries, EFFORTS[options.effort]) as bench:
        results["machine"] = description(bench.redis)
        for section in options.sections.split(","):
            start = time.monotonic()
            print(section, file=sys.stderr)
            results[section] = SECTIONS[section](bench)
            print(f"  {time.monotonic() - start:.1f} s", file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
