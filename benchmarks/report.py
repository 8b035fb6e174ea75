"""The blocks of docs/performance.md, each from its section of the results."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import report_calls, report_load
from benchmarks.catalogue import CATALOGUE, FLOOR
from benchmarks.environments import NOT_MEASURED
from benchmarks.figures import Results
from benchmarks.markdown import percent, ratio, spread_us, table, us
from benchmarks.marks import marks

MISSING = "Not measured in this run."


def marks_table(results: Results) -> str:
    """Return what was asked beside what was measured."""
    return table(
        ["", "asked", "measured", ""],
        ((mark.what, mark.asked, mark.measured, mark.verdict) for mark in marks(results)),
    )


def machine_table(results: Results) -> str:
    """Return the machine, and the versions of everything."""
    lines = list(results["machine"].items())
    lines += [(name, of) for name, of in results["peers"].items() if name not in results["machine"]]
    return table(["", ""], lines)


def rounds_line(results: Results) -> str:
    """Return how calm the run was."""
    calls = results["calls"]
    floor = calls["rows"][FLOOR]["success"]["seconds"]
    others = calls["cores_of_others"]
    alone = percent(calls["calm_share"])
    low, median, high = (percent(others[name]) for name in ("low", "median", "high"))
    return (
        f"{calls['rounds']} rounds. Others left the machine alone beside {alone} of the blocks, and used "
        f"{median} of a core in the median (quartiles {low} and {high}). "
        f"The floor took {spread_us(floor)} us."
    )


def scripts_table(results: Results) -> str:
    """Return what each script takes in the server."""
    lines = [
        (
            name,
            f"{row['us']['median']:.2f} ({row['us']['low']:.2f}-{row['us']['high']:.2f})",
            ratio(row["ratio"]),
        )
        for name, row in sorted(results["scripts"].items(), key=lambda pair: float(pair[1]["us"]["median"]))
    ]
    return table(["script", "server, us", "x one field"], lines)


def sizes_table(results: Results) -> str:
    """Return memory, in Redis and in the process."""
    lines = []
    for key, row in results["memory"].items():
        flights = [f"{row[name]:.0f}" if name in row else "-" for name in ("in_flight_100", "in_flight_1000")]
        lines.append(
            (
                CATALOGUE[key].label,
                str(row["idle"]),
                str(row["events"]),
                *flights,
                f"{row['in_process']:,.0f}",
            )
        )
    heads = [
        "Redis, idle",
        "events after these calls",
        "per call in flight, of 100",
        "of 1000",
        "in the process",
    ]
    return table(["bytes per breaker", *heads], lines)


def looking_table(results: Results) -> str:
    """Return what looking costs."""
    found = results["metrics"]
    beside = (
        ("get_metrics()", "HGETALL", found["one"]),
        ("get_all_metrics()", "three HGETALL in a pipeline", found["all"]),
    )
    lines = [
        (
            name,
            us(row["seconds"]["median"]),
            bare,
            us(row["bare_seconds"]["median"]),
            ratio(row["ratio"]),
            f"{row['round_trips']:.0f}",
        )
        for name, bare, row in beside
    ]
    told = table(["", "us", "beside", "us", "ratio", "round trips"], lines)
    return f"{told}\n\nAll three as JSON: {found['json_bytes']} bytes."


def imports_line(results: Results) -> str:
    """Return what importing costs."""
    found = results["imports"]
    redis, ours = (f"{found[module]['median'] * 1000:.0f} ms" for module in ("redis", "sharedbreaker"))
    return (
        f"`import redis`: {redis}; `import sharedbreaker`, redis included: {ours}; "
        f"{ratio(found['ratio'])} times within the same round."
    )


def left_out_list(results: Results) -> str:
    """Return the libraries that are known and not measured."""
    return "\n".join(f"- {name}: {why}." for name, why in NOT_MEASURED.items())


def profile_text(results: Results) -> str:
    """Return where the time goes."""
    return "\n\n".join(f"{name}:\n\n```text\n{told}\n```" for name, told in results["profile"].items())


BLOCKS: dict[str, tuple[str, Callable[[Results], str]]] = {
    "marks": ("calls", marks_table),
    "machine": ("machine", machine_table),
    "rounds": ("calls", rounds_line),
    "redis": ("calls", report_calls.redis_table),
    "memory": ("calls", report_calls.memory_table),
    "unlike": ("calls", report_calls.unlike_table),
    "left-out": ("machine", left_out_list),
    "scripts": ("scripts", scripts_table),
    "paced": ("paced", report_load.paced_table),
    "propagation": ("propagation", report_load.propagation_table),
    "fleet": ("fleet", report_load.fleet_table),
    "load": ("load", report_load.load_table),
    "carries": ("scale", report_load.carries_table),
    "arithmetic": ("scale", report_load.arithmetic),
    "pods": ("scale", report_load.pods_table),
    "cluster": ("cluster", report_load.cluster_table),
    "sizes": ("memory", sizes_table),
    "looking": ("metrics", looking_table),
    "imports": ("imports", imports_line),
    "profile": ("profile", profile_text),
}
"""By name: the section that a block is made of, and how."""


def block(name: str, results: Results) -> str:
    """Return a block; a sentence where its section was not run."""
    section, make = BLOCKS[name]
    return make(results) if section in results else MISSING
