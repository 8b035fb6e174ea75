"""What a run says at its end: a line for each invariant, and the cases that broke one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fault_run import Result

CASES_SHOWN = 12


def heading(seconds: float, seed: int, workers: int, topology: str, staleness: float) -> str:
    """Return what is said before the run: the seed, and how to do it again."""
    command = f"--seconds {seconds:g} --seed {seed} --workers {workers} --topology {topology}"
    command += f" --staleness {staleness:g}"
    return f"fault run, seed {seed}; again with: python tests/faults {command}"


def as_text(result: Result) -> str:
    """Return the report as lines."""
    counts = ", ".join(f"{kind} {number}" for kind, number in sorted(result.injected.counts.items()))
    lines = [f"{result.order.topology}, injected in {result.order.seconds:g} s: {counts}"]
    for verdict in result.verdicts:
        lines.append(verdict.line())
        lines += [f"        {case}" for case in verdict.broken[:CASES_SHOWN]]
        if len(verdict.broken) > CASES_SHOWN:
            lines.append(f"        and {len(verdict.broken) - CASES_SHOWN} more")
    broken = [str(verdict.number) for verdict in result.verdicts if not verdict.holds]
    end = f"BROKEN: {', '.join(broken)}" if broken else "all invariants hold"
    lines.append(f"{end}; took {result.took:.1f} s; seed {result.order.seed}")
    return "\n".join(lines)


def as_json(results: Sequence[Result]) -> str:
    """Return the report as one JSON document."""
    document = {
        "seed": results[0].order.seed,
        "holds": all(result.holds for result in results),
        "runs": [_as_dict(result) for result in results],
    }
    return json.dumps(document, indent=2)


def _as_dict(result: Result) -> dict[str, Any]:
    return {
        "topology": result.order.topology,
        "seconds": result.order.seconds,
        "workers": result.order.workers,
        "staleness": result.order.staleness,
        "injected": result.injected.counts,
        "took_seconds": round(result.took, 3),
        "invariants": [
            {
                "number": verdict.number,
                "title": verdict.title,
                "holds": verdict.holds,
                "figures": dict(verdict.figures),
                "broken": verdict.broken,
            }
            for verdict in result.verdicts
        ],
    }
