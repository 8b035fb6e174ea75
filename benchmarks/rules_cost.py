"""What each rule takes inside Redis per call, beside the default rule alone: `make bench-rules`.

With ``--before REVISION`` the default rule is measured with the scripts of an earlier revision as well.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from redis import Redis

from sharedbreaker.circuit.rates import FailureRate, LastCalls, SlowCallRate, rate_settings
from sharedbreaker.circuit.settings import Settings
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.store.keys import keys_of
from sharedbreaker.store.scripts import FIRST, script

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "trip-rules.md"
BEGIN, END = "<!-- cost: written by make bench-rules -->\n", "<!-- end of cost -->"
CALLS = 100
"""Under way at once."""
ROUNDS = 25
NEVER = {"failure_threshold": 1_000_000}
DEFAULT = "failures in a row (the default)"
RULES: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "failure rate over 60 s": rate_settings(FailureRate(1, 60, 1000), None),
    "failure rate over the last 100 calls": rate_settings(FailureRate(1, LastCalls(100), 100), None),
    "failure rate over the last 1000 calls": rate_settings(FailureRate(1, LastCalls(1000), 1000), None),
    "slow call rate over 60 s": rate_settings(None, SlowCallRate(60, 1, 60, 1000)),
    "timeout growth": {"timeout_growth_percent": 200},
    "ramp-up, over": {"ramp_up": 60},
    "minimum reporters": {"minimum_reporters": 2},
    "limit in flight": {"max_in_flight": 1_000_000},
    "observe": {"observe": True},
    "all of them": {
        **rate_settings(FailureRate(1, 60, 1000), SlowCallRate(60, 1, 60, 1000)),
        "timeout_growth_percent": 200,
        "ramp_up": 60,
        "minimum_reporters": 2,
        "max_in_flight": 1_000_000,
        "observe": True,
    },
}
STEPS = ("admit", "report a success", "report a failure")
Times = dict[str, dict[str, list[float]]]


def scripts_of(revision: str) -> Callable[[str], str]:
    """Return what loads a script as it was at a revision of this repository."""

    def source(name: str) -> str | None:
        command = ["git", "-C", str(ROOT), "show", f"{revision}:lua/{name}.lua"]
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        return shown.stdout if shown.returncode == 0 else None

    def load(name: str) -> str:
        whole = f"{source(FIRST)}\n{source(name)}"
        for shared in ("circuit", "trip_rules", "settings"):
            text = source(shared)
            if text is not None:
                whole = whole.replace(f"-- {shared}.lua\n", text, 1)
        return whole

    return load


def script_us(redis: Redis) -> float:
    """Return the microseconds that scripts have taken since the server began."""
    stats = cast("dict[str, dict[str, Any]]", redis.info("commandstats"))
    return float(stats.get("cmdstat_evalsha", {"usec": 0})["usec"])


def measure(redis: Redis, revision: str | None) -> Times:
    """Return server microseconds per script, by rule and step, one figure a round."""
    loaders: dict[str, Callable[[str], str]] = dict.fromkeys(RULES, lambda name: script(name).source)
    if revision:
        loaders[f"{DEFAULT}, as of {revision}"] = scripts_of(revision)
    shas = {
        rule: {name: str(redis.script_load(load(name))) for name in ("admit", "report")}
        for rule, load in loaders.items()
    }
    declare = redis.register_script(script("declare").source)
    times: Times = {rule: {step: [] for step in STEPS} for rule in loaders}
    dice = random.Random(7)
    for _ in range(ROUNDS):
        for rule in dice.sample(list(loaders), len(loaders)):
            redis.flushdb()
            keys = keys_of("bench").of_script
            fields = Settings(**{**NEVER, **RULES.get(rule, {})}).fields()
            declare(keys=keys, args=["bench", "1", *(part for field in fields.items() for part in field)])
            _round(redis, keys, shas[rule], times[rule], has_duration=fields["slow_call_rate_percent"] != "0")
    return times


def _round(
    redis: Redis,
    keys: tuple[str, ...],
    shas: Mapping[str, str],
    times: dict[str, list[float]],
    *,
    has_duration: bool,
) -> None:
    epoch = str(redis.hget(keys[0], "epoch"))
    duration = ("10",) if has_duration else ()
    for outcome, step in (("success", "report a success"), ("failure", "report a failure")):
        tokens = [f"{outcome}{number}" for number in range(CALLS)]
        taken = _pipelined(redis, shas["admit"], keys, [(token, "bench:1", "0") for token in tokens])
        times["admit"].append(taken)
        ends = [(token, epoch, outcome, "bench:1", "", "", *duration) for token in tokens]
        # Every other failure is the first in a row, and none meets a rule.
        times[step].append(_pipelined(redis, shas["report"], keys, ends))


def _pipelined(redis: Redis, sha: str, keys: tuple[str, ...], calls: list[tuple[str, ...]]) -> float:
    before = script_us(redis)
    with redis.pipeline(transaction=False) as pipeline:
        for arguments in calls:
            pipeline.evalsha(sha, len(keys), *keys, *arguments)
        pipeline.execute()
    return (script_us(redis) - before) / len(calls)


def table(times: Times) -> str:
    """Return the figures as Markdown: microseconds, and their ratio to the default rule's of the same run."""
    rows = ["| rule in force | admit | report a success | report a failure |", "|---|---|---|---|"]
    for rule, steps in times.items():
        cells = []
        for step in STEPS:
            median = statistics.median(steps[step])
            ratio = median / statistics.median(times[DEFAULT][step])
            cells.append(f"{median:.1f} µs ({ratio:.2f})")
        rows.append(f"| {rule} | {' | '.join(cells)} |")
    return "\n".join([*rows, ""])


def main() -> None:
    """Measure, print, and write the table into its page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", metavar="REVISION", help="an earlier revision to measure beside")
    arguments = parser.parse_args()
    with RedisServer() as server, server.client(decode_responses=True) as redis:
        text = table(measure(redis, arguments.before))
    print(text)
    page = PAGE.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    PAGE.write_text(before + begin + text + end + after, encoding="utf-8")


if __name__ == "__main__":
    main()
