"""What all sections share: one Redis server over TCP and a unix socket, and the workers."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from redis import Redis

from benchmarks.catalogue import Entry
from benchmarks.environments import make
from benchmarks.scenario import Scenario, SkippedSubjectError
from benchmarks.worker_process import WorkerProcess
from sharedbreaker.demo.redis_server import RedisServer, free_port


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Args:
        rounds: interleaved rounds of back-to-back calls.
        block_seconds: how long one block of calls takes, about.
        fleet_rounds: rounds of the cells with several processes.
        fleet_seconds: how long such a cell takes.
        process_counts: how many processes.
        load_seconds: how long a cell takes in which calls are counted at a pace.
        paced_calls: calls at each pace, by the gap in seconds.
        paced_rounds: rounds of them.
        trials: changes whose propagation is timed.
        import_rounds: interpreters started for each import.

    """

    rounds: int
    block_seconds: float
    fleet_rounds: int
    fleet_seconds: float
    process_counts: tuple[int, ...]
    load_seconds: float
    paced_calls: dict[float, int]
    paced_rounds: int
    trials: int
    import_rounds: int


FULL = Effort(
    rounds=31,
    block_seconds=0.02,
    fleet_rounds=3,
    fleet_seconds=0.5,
    process_counts=(1, 2, 4, 8),
    load_seconds=3.0,
    paced_calls={0.001: 250, 0.02: 40},
    paced_rounds=3,
    trials=15,
    import_rounds=15,
)
QUICK = Effort(
    rounds=9,
    block_seconds=0.008,
    fleet_rounds=1,
    fleet_seconds=0.25,
    process_counts=(1, 8),
    load_seconds=1.0,
    paced_calls={0.001: 100, 0.02: 10},
    paced_rounds=2,
    trials=5,
    import_rounds=5,
)
TINY = Effort(
    rounds=3,
    block_seconds=0.001,
    fleet_rounds=1,
    fleet_seconds=0.05,
    process_counts=(1, 2),
    load_seconds=0.3,
    paced_calls={0.001: 5},
    paced_rounds=1,
    trials=2,
    import_rounds=2,
)


NAMES = re.compile(r"bench-\d{6}")


def name_of(target: str) -> str:
    """Return the name of the breaker that a target has, where it was given none."""
    return f"bench-{int(target):06d}"


class Bench:
    """One run: the server, the effort, the subjects that were asked for."""

    def __init__(self, server: RedisServer, entries: list[Entry], effort: Effort, stack: ExitStack) -> None:
        self.server = server
        self.entries = entries
        self.effort = effort
        self.redis: Redis = server.client(decode_responses=True)
        self.away_url = f"redis://127.0.0.1:{free_port()}/0"
        self.skipped: dict[str, str] = {}
        self._stack = stack
        self._numbers = itertools.count(1)
        self._idle: dict[str, list[WorkerProcess]] = {}
        self._workers: list[WorkerProcess] = []

    @property
    def pids(self) -> list[int]:
        """The processes of this run, the harness aside."""
        return [self.server.pid, *(worker.pid for worker in self._workers)]

    def url_for(self, entry: Entry) -> str:
        """Return where this subject finds its Redis."""
        if entry.where == "unix":
            return f"unix://{self.server.directory}/redis.sock?db=0"
        return self.away_url if entry.where == "away" else self.server.url

    def chosen(self, *keys: str) -> list[Entry]:
        """Return those of the named subjects that were asked for."""
        return [entry for entry in self.entries if entry.key in keys]

    @contextmanager
    def worker(self, environment: str) -> Iterator[WorkerProcess]:
        """Lend a worker that nobody else uses meanwhile; one that was used before is as good."""
        idle = self._idle.setdefault(environment, [])
        if idle:
            worker = idle.pop()
        else:
            worker = self._stack.enter_context(WorkerProcess(environment))
            self._workers.append(worker)
        try:
            yield worker
        except BaseException:
            worker.close()  # what it was told may still be under way
            self._workers.remove(worker)
            raise
        else:
            idle.append(worker)

    def prepare(self, worker: WorkerProcess, entry: Entry, scenario: Scenario, name: str = "") -> str:
        """Make a subject in a worker; return what the worker calls it."""
        number = next(self._numbers)
        worker.ask(
            "prepare",
            target=str(number),
            adapter=entry.adapter,
            scenario=scenario.value,
            url=self.url_for(entry),
            name=name or name_of(str(number)),
            options=entry.options,
        )
        return str(number)

    def is_of_another(self, words: tuple[str, ...], target: str) -> bool:
        """Return whether a command is about another target than this."""
        named = NAMES.findall(" ".join(words))
        return bool(named) and name_of(target) not in named

    def skip(self, entry: Entry, why: SkippedSubjectError | str) -> None:
        """Note why a subject is not in the tables."""
        if entry.key not in self.skipped:
            print(f"  skipped {entry.label}: {why}", file=sys.stderr)
        self.skipped[entry.key] = str(why)


@contextmanager
def running_bench(entries: list[Entry], effort: Effort) -> Iterator[Bench]:
    """Make the environments that are needed, start the server, and end everything afterwards."""
    for environment in sorted({entry.environment for entry in entries if entry.is_peer}):
        make(environment)
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer("--unixsocket", "redis.sock", "--unixsocketperm", "700"))
        yield Bench(server, entries, effort, stack)
