"""What one call costs at the server, counted there: round trips, commands, scripts and their time."""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis

from benchmarks.bench import Bench
from benchmarks.monitor import commands_during
from benchmarks.rounds import Block

CALLS = 64
SCRIPT_COMMANDS = ("evalsha", "eval", "evalsha_ro", "eval_ro", "fcall")


@dataclass(frozen=True)
class Counts:
    """Of one call, on average."""

    round_trips: float
    """Packets that the server read from clients."""
    commands: float
    """Commands that clients sent."""
    commands_in_scripts: float
    scripts: float
    script_us: float
    """Server microseconds of all its scripts together."""


def counted(bench: Bench, block: Block, calls: int = CALLS) -> Counts:
    """Run a prepared block so many times and count.

    What other breakers send meanwhile, which hold something back, is theirs.
    """
    redis = bench.redis
    at: list[Totals] = []

    def run() -> None:
        at.extend((totals(redis), totals(redis)))
        block.worker.ask("run", target=block.target, calls=calls)
        at.append(totals(redis))

    seen = [command for command in commands_during(bench.server.url, run) if command.words[0] != "INFO"]
    own = [command for command in seen if not bench.is_of_another(command.words, block.target)]
    sent = [command for command in own if not command.is_in_script]
    of_others = sum(not command.is_in_script for command in seen) - len(sent)
    before, nothing, after = at
    reads = (after.reads - nothing.reads) - (nothing.reads - before.reads) - of_others
    return Counts(
        round_trips=max(0, reads) / calls,
        commands=len(sent) / calls,
        commands_in_scripts=(len(own) - len(sent)) / calls,
        scripts=sum(command.is_script for command in sent) / calls,
        script_us=(after.script_us - nothing.script_us) / calls,
    )


@dataclass(frozen=True)
class Totals:
    """What the server counted since it started."""

    reads: int
    scripts: int
    script_us: int
    cpu_seconds: float
    """Of the thread that runs commands."""


def totals(redis: Redis) -> Totals:
    """Ask the server for its counts."""
    commands = redis.info("commandstats")
    scripts = [commands.get(f"cmdstat_{name}", {}) for name in SCRIPT_COMMANDS]
    return Totals(
        reads=int(redis.info("stats")["total_reads_processed"]),
        scripts=sum(int(stat.get("calls", 0)) for stat in scripts),
        script_us=sum(int(stat.get("usec", 0)) for stat in scripts),
        cpu_seconds=_cpu_seconds(redis),
    )


def _cpu_seconds(redis: Redis) -> float:
    used = redis.info("cpu")
    return sum(
        float(used.get(f"used_cpu_{kind}_main_thread", used[f"used_cpu_{kind}"])) for kind in ("user", "sys")
    )
