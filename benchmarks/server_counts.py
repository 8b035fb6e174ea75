"""What one call costs at the server, counted there: round trips, commands, scripts and their time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis

from benchmarks.bench import Bench
from benchmarks.rounds import Block

CALLS = 64
SCRIPT_COMMANDS = ("evalsha", "eval", "evalsha_ro", "eval_ro", "fcall")
LAST_LINE = "sharedbreaker-benchmark-ends-here"


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
    """Run a prepared block so many times and count."""
    redis = bench.redis
    before = _totals(redis)
    nothing = _totals(redis)
    block.worker.ask("run", target=block.target, calls=calls)
    after = _totals(redis)
    reads = (after.reads - nothing.reads) - (nothing.reads - before.reads)
    sent, inner = _monitored(redis, block, calls)
    return Counts(
        round_trips=max(0, reads) / calls,
        commands=sent / calls,
        commands_in_scripts=inner / calls,
        scripts=(after.scripts - before.scripts) / calls,
        script_us=(after.script_us - before.script_us) / calls,
    )


@dataclass(frozen=True)
class _Totals:
    reads: int
    scripts: int
    script_us: int


def _totals(redis: Redis) -> _Totals:
    commands = cast("dict[str, dict[str, Any]]", redis.info("commandstats"))
    scripts = [commands.get(f"cmdstat_{name}", {}) for name in SCRIPT_COMMANDS]
    return _Totals(
        reads=int(cast("dict[str, Any]", redis.info("stats"))["total_reads_processed"]),
        scripts=sum(int(stat.get("calls", 0)) for stat in scripts),
        script_us=sum(int(stat.get("usec", 0)) for stat in scripts),
    )


def _monitored(redis: Redis, block: Block, calls: int) -> tuple[int, int]:
    sent = inner = 0
    with redis.monitor() as monitor:
        block.worker.ask("run", target=block.target, calls=calls)
        redis.echo(LAST_LINE)
        for command in monitor.listen():
            if LAST_LINE in command["command"]:
                return sent, inner
            if command["client_type"] == "lua":
                inner += 1
            else:
                sent += 1
    raise RuntimeError("the server ended the monitoring")


@dataclass(frozen=True)
class ScriptTime:
    """One script as the server sees it."""

    name: str
    runs: int
    mean_us: float


def script_times(bench: Bench, block: Block, calls: int, names: dict[str, str]) -> list[ScriptTime]:
    """Return what each script of a block takes in the server; ``names`` are by digest."""
    redis = bench.redis
    redis.config_set("slowlog-max-len", calls * 16)
    redis.config_set("slowlog-log-slower-than", 0)
    try:
        redis.slowlog_reset()
        block.worker.ask("run", target=block.target, calls=calls)
        entries = redis.slowlog_get(calls * 16)
    finally:
        redis.config_set("slowlog-log-slower-than", -1)
        redis.slowlog_reset()
    taken: dict[str, list[int]] = {}
    for entry in cast("list[dict[str, Any]]", entries):
        words = entry["command"]
        text = words.decode() if isinstance(words, bytes) else str(words)
        found = re.match(r"EVALSHA(?:_RO)? ([0-9a-f]{40})", text, re.IGNORECASE)
        if found:
            taken.setdefault(names.get(found[1], found[1][:8]), []).append(int(entry["duration"]))
    return [ScriptTime(name, len(us), sum(us) / len(us)) for name, us in sorted(taken.items())]
