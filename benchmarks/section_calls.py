"""Back-to-back calls of every subject, with what they cost at the server."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from benchmarks.bench import Bench
from benchmarks.rounds import measured_rounds, prepare_blocks
from benchmarks.scenario import Scenario
from benchmarks.server_counts import counted
from benchmarks.statistic import ratios, spread


def measure(bench: Bench) -> dict[str, Any]:
    """Return, for each subject and scenario, seconds per call, its ratio to the floor, and its counts."""
    with ExitStack() as stack:
        blocks = prepare_blocks(bench, stack, tuple(Scenario))
        rounds = measured_rounds(bench, blocks)
        rows: dict[str, dict[str, Any]] = {}
        for block in blocks:
            seconds = block.seconds_per_call
            cell: dict[str, Any] = {
                "seconds": spread(seconds).as_dict(),
                "ratio": ratios(seconds, rounds.floors).as_dict(),
                "rounds": seconds,
            }
            if block.entry.speaks:
                cell["counts"] = vars(counted(bench, block))
            block.worker.ask("forget", target=block.target)
            rows.setdefault(block.entry.key, {})[block.scenario.value] = cell
        return {
            "rows": rows,
            "floor_seconds": spread(rounds.floors).as_dict(),
            "rounds": len(rounds.floors),
            "calm_share": rounds.calm_share,
            "cores_of_others": spread(rounds.cores_of_others).as_dict(),
        }
