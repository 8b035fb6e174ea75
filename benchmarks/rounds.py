"""Back-to-back calls in interleaved rounds.

In each round every subject runs one block of calls in each scenario, in an order that is shuffled anew; the
floor runs several. So whatever slows the machine for a while slows all alike, and ratios within a round stand
where microseconds move.
"""

from __future__ import annotations

import random
import statistics
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from benchmarks.bench import Bench
from benchmarks.catalogue import FLOOR, Entry
from benchmarks.gate import CALM_CORES, Gate
from benchmarks.scenario import Scenario, SkippedSubjectError
from benchmarks.worker_process import WorkerError, WorkerProcess

FLOOR_BLOCKS = 3


@dataclass
class Block:
    """One subject in one scenario, prepared in a worker, and what its blocks took."""

    entry: Entry
    scenario: Scenario
    worker: WorkerProcess
    target: str
    calls: int
    seconds_per_call: list[float] = field(default_factory=list)
    """One number for each round."""


@dataclass
class Rounds:
    """All blocks of a run, and how calm the machine was."""

    blocks: list[Block]
    floors: list[float]
    """Seconds for one EVALSHA over a bare socket, one number for each round."""
    cores_of_others: list[float]
    """Beside each block that counts."""

    @property
    def calm_share(self) -> float:
        """Share of the blocks beside which others left the machine alone."""
        calm = sum(cores <= CALM_CORES for cores in self.cores_of_others)
        return calm / len(self.cores_of_others)


def prepare_blocks(bench: Bench, stack: ExitStack, scenarios: tuple[Scenario, ...]) -> list[Block]:
    """Start a worker for each subject and prepare it in each scenario; skip what cannot be."""
    blocks = []
    for entry in bench.entries:
        worker = stack.enter_context(bench.worker(entry.environment))
        for scenario in scenarios if entry.is_breaker else (Scenario.SUCCESS,):
            try:
                target = bench.prepare(worker, entry, scenario)
                calls = worker.ask("calibrate", target=target, seconds=bench.effort.block_seconds)
            except SkippedSubjectError as why:
                bench.skip(entry, why)
                break
            except WorkerError as error:
                if not entry.is_peer:
                    raise
                # It stays away from the run, and the tables say why.
                bench.skip(entry, f"{scenario.value}: {error}")
                break
            blocks.append(Block(entry, scenario, worker, target, calls))
    return blocks


def measured_rounds(bench: Bench, blocks: list[Block]) -> Rounds:
    """Run the rounds."""
    dice = random.Random(20)
    floor = next(block for block in blocks if block.entry.key == FLOOR)
    result = Rounds(blocks, [], [])
    gate = Gate(bench, len(blocks) * bench.effort.rounds // 4)
    for number in range(bench.effort.rounds):
        floors: list[float] = []
        for block in dice.sample([*blocks, *[floor] * (FLOOR_BLOCKS - 1)], len(blocks) + FLOOR_BLOCKS - 1):
            run = partial(block.worker.ask, "run", target=block.target, calls=block.calls)
            nanoseconds, cores = gate.calmest([block.worker.pid], run)
            seconds = nanoseconds / block.calls / 1e9
            (floors if block is floor else block.seconds_per_call).append(seconds)
            result.cores_of_others.append(cores)
        result.floors.append(statistics.median(floors))
        floor.seconds_per_call.append(result.floors[-1])
        print(f"\r  round {number + 1} of {bench.effort.rounds}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return result
