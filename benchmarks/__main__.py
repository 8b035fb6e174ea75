"""What a call costs, beside the peers: measure, print the marks, and write docs/performance.md."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import (
    section_calls,
    section_cluster,
    section_fleet,
    section_imports,
    section_load,
    section_memory,
    section_metrics,
    section_paced,
    section_profile,
    section_propagation,
    section_scale,
    section_scripts,
)
from benchmarks.bench import FULL, QUICK, TINY, Bench, running_bench
from benchmarks.catalogue import CATALOGUE, FLOOR, OURS
from benchmarks.environments import ROOT, peer_packages
from benchmarks.figures import Results
from benchmarks.machine import description
from benchmarks.markdown import percent
from benchmarks.page import filled
from benchmarks.plots import draw
from benchmarks.report import BLOCKS, block
from benchmarks.terminal import printed

SECTIONS: dict[str, Callable[[Bench], Any]] = {
    "calls": section_calls.measure,
    "scripts": section_scripts.measure,
    "paced": section_paced.measure,
    "propagation": section_propagation.measure,
    "fleet": section_fleet.measure,
    "load": section_load.measure,
    "scale": section_scale.measure,
    "cluster": section_cluster.measure,
    "memory": section_memory.measure,
    "metrics": section_metrics.measure,
    "imports": section_imports.measure,
    "profile": section_profile.measure,
}
EFFORTS = {"full": FULL, "quick": QUICK, "tiny": TINY}
DOCS = ROOT / "docs"
PAGE = DOCS / "performance.md"
PICTURES = DOCS / "performance"
RESULTS = PICTURES / "results.json"
LAST = ROOT / ".venv" / "bench-last.json"
LEAST_CALM_SHARE = 0.5
"""Of the blocks, for figures that are to be published."""


def main(words: list[str] | None = None) -> None:
    """Do what the command line says."""
    options = _options(words)
    results = json.loads(LAST.read_text()) if options.again else _measured(options)
    told = json.dumps(_rounded(results), indent=1) + "\n"
    if results["is_complete"]:
        LAST.parent.mkdir(exist_ok=True)
        LAST.write_text(told)
    if options.json:
        options.json.write_text(told)
    print(printed(results))
    if options.docs is None:
        options.docs = _is_worth_a_page(results)
    if options.docs:
        _write(_rounded(results))
        print(f"written: {PAGE.relative_to(ROOT)}")


def _is_worth_a_page(results: Results) -> bool:
    if not results["is_complete"]:
        return False
    calm = results["calls"]["calm_share"]
    if calm < LEAST_CALM_SHARE:
        print(
            f"docs/performance.md is as it was: others left the machine alone beside only {percent(calm)} "
            "of the blocks. ARGS='--again --docs' writes these figures all the same."
        )
        return False
    return True


def _options(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument(
        "--quick",
        dest="effort",
        action="store_const",
        const="quick",
        default="full",
        help="two minutes instead of ten",
    )
    effort.add_argument(
        "--tiny",
        dest="effort",
        action="store_const",
        const="tiny",
        help="see that it runs; figures mean nothing",
    )
    parser.add_argument("--sections", metavar="A,B", help=f"only these: {', '.join(SECTIONS)}")
    parser.add_argument("--subjects", metavar="A,B", help=f"only these: ours, {', '.join(CATALOGUE)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results there too")
    parser.add_argument(
        "--docs",
        action=argparse.BooleanOptionalAction,
        help="write docs/performance.md; by default only a full run of everything on a calm machine does",
    )
    parser.add_argument("--again", action="store_true", help="measure nothing: tell the last results anew")
    options = parser.parse_args(words)
    if options.again and not LAST.exists():
        parser.error("there was no full run yet whose results could be told anew")
    for name, known in (("sections", SECTIONS), ("subjects", {"ours": None, **CATALOGUE})):
        asked = (getattr(options, name) or "").split(",")
        unknown = [word for word in asked if word and word not in known]
        if unknown:
            parser.error(f"no {name} called {', '.join(unknown)}")
    return options


def _measured(options: argparse.Namespace) -> Results:
    sections = options.sections.split(",") if options.sections else list(SECTIONS)
    keys = {FLOOR, *(options.subjects.split(",") if options.subjects else CATALOGUE)}
    entries = [
        entry
        for entry in CATALOGUE.values()
        if entry.key in keys or ("ours" in keys and entry.environment == OURS)
    ]
    results: Results = {
        "effort": options.effort,
        "is_complete": options.effort == "full" and not (options.sections or options.subjects),
    }
    start = time.monotonic()
    with running_bench(entries, EFFORTS[options.effort]) as bench:
        results["machine"] = description(bench.redis)
        results["peers"] = _peers(bench)
        for section in sections:
            print(f"{time.monotonic() - start:5.0f} s  {section}", file=sys.stderr)
            results[section] = SECTIONS[section](bench)
        results["skipped"] = bench.skipped
    results["seconds"] = time.monotonic() - start
    return results


def _peers(bench: Bench) -> dict[str, str]:
    found: dict[str, str] = {}
    for environment in {entry.environment for entry in bench.entries if entry.is_peer}:
        with bench.worker(environment) as worker:
            found |= worker.ask("versions", packages=peer_packages(environment))
    return found


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value


def _write(results: Results) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    draw(results, PICTURES)
    PAGE.write_text(filled(PAGE.read_text(), lambda name: block(name, results), set(BLOCKS)))


if __name__ == "__main__":
    main()
