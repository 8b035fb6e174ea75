"""Back-to-back calls in interleaved rounds.

In each round every subject runs one block of calls in each scenario, in an order that is shuffled anew; the
floor runs several. So whatever slows the machine for a while slows all alike, and ratios within a round stand
where microseconds move.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.bench import Bench
from benchmarks.catalogue import FLOOR, Entry
from benchmarks.machine import Others
from benchmarks.scenario import Scenario, SkippedSubjectError
from benchmarks.worker_process import WorkerError, WorkerProcess

FLOOR_BLOCKS = 3
CALM_CORES = 0.06
"""Others may use so much of a core in a round that counts as calm."""
LONGEST_WAIT_SECONDS = 5.0
LOOK_SECONDS = 0.1


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

    @property
    def calm(self) -> list[int]:
        """The numbers of the calm rounds; of all, where too few were."""
        calm = [number for number, cores in enumerate(self.cores_of_others) if cores <= CALM_CORES]
        return calm if len(calm) * 2 >= len(self.floors) else list(range(len(self.floors)))

    def seconds(self, block: Block) -> list[float]:
        """Return what a call took in each round that counts."""
        return [block.seconds_per_call[number] for number in self.calm]

    @property
    def calm_floors(self) -> list[float]:
        """The floors of the rounds that count."""
        return [self.floors[number] for number in self.calm]


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


def wait_for_calm(bench: Bench, left: float) -> float:
    """Wait until others leave the machine alone, for ``left`` seconds at most; return what is left."""
    while left > 0:
        others = Others(bench.pids)
        time.sleep(LOOK_SECONDS)
        left -= LOOK_SECONDS
        cores = others.cores
        if cores is None or cores <= CALM_CORES:
            break
    return left


def measured_rounds(bench: Bench, blocks: list[Block]) -> Rounds:
    """Run the rounds."""
    dice = random.Random(20)
    floor = next(block for block in blocks if block.entry.key == FLOOR)
    result = Rounds(blocks, [], [])
    left = LONGEST_WAIT_SECONDS * bench.effort.rounds / 10
    for number in range(bench.effort.rounds):
        left = wait_for_calm(bench, left)
        others = Others(bench.pids)
        floors = []
        for block in dice.sample([*blocks, *[floor] * (FLOOR_BLOCKS - 1)], len(blocks) + FLOOR_BLOCKS - 1):
            taken = block.worker.ask("run", target=block.target, calls=block.calls) / block.calls / 1e9
            if block is floor:
                floors.append(taken)
            else:
                block.seconds_per_call.append(taken)
        result.floors.append(statistics.median(floors))
        floor.seconds_per_call.append(result.floors[-1])
        result.cores_of_others.append(others.cores or 0.0)
        print(f"\r  round {number + 1} of {bench.effort.rounds}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return result
