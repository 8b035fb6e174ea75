"""The tables of many calls: at a pace, from many processes, and what a Redis core carries."""

from __future__ import annotations

import math

from benchmarks.catalogue import CATALOGUE, PUSH_STALENESS_SECONDS, STALENESS_SECONDS
from benchmarks.figures import Results
from benchmarks.markdown import number, percent, ratio, table, us, whole

PODS = (10, 100, 1000, 10_000)
PROCESSES_PER_POD = 4
CALLS_PER_SECOND = (5, 50)
"""Of one process: calls of a language model take seconds, so few processes make more than a few."""
BOUNDS = (STALENESS_SECONDS, PUSH_STALENESS_SECONDS)
SAFE_SHARE = 0.5
"""Of a core that we would plan with."""
STRICT_CALL = "a strict call"
REFRESH = "refresh a view"


def paced_table(results: Results) -> str:
    """Return what a call takes at each pace."""
    lines = []
    for gap, rows in results["paced"].items():
        for key in sorted(rows, key=lambda key: float(rows[key]["seconds"]["median"])):
            row = rows[key]
            lines.append(
                (
                    f"{float(gap) * 1000:.0f} ms",
                    _label(key),
                    us(row["seconds"]["median"]),
                    us(row["p99"]),
                    ratio(row["to_bare"]) if "to_bare" in row else "-",
                    ratio(row["to_floor"]) if "to_floor" in row else "-",
                )
            )
    return table(["a call every", "", "median, us", "99th percentile, us", "x bare call", "x floor"], lines)


def propagation_table(results: Results) -> str:
    """Return how soon a change made elsewhere is acted on."""
    lines = []
    for key, row in results["propagation"]["rows"].items():
        bound = f"{row['bound'] * 1000:.0f} ms" if row["bound"] else "asks each time"
        times = [
            f"{row[change][which] * 1000:.2f}"
            for change in ("opened", "closed")
            for which in ("median", "max")
        ]
        lines.append((_label(key), bound, *times, str(row["trials"])))
    heads = ["opened elsewhere: median, ms", "max, ms", "closed elsewhere: median, ms", "max, ms"]
    return table(["", "bound", *heads, "trials"], lines)


def fleet_table(results: Results) -> str:
    """Return calls a second by number of processes."""
    rows = results["fleet"]
    counts = sorted({int(processes) for row in rows.values() for processes in row})
    most = str(counts[-1])
    ordered = sorted(rows, key=lambda key: -float(rows[key][most]["calls_per_second"]["median"]))
    lines = []
    for key in ordered:
        cells = [whole(rows[key][str(processes)]["calls_per_second"]["median"]) for processes in counts]
        last = rows[key][most]
        lines.append(
            (
                _label(key),
                *cells,
                us(last["server_us"]["median"] / 1e6),
                percent(last["server_busy"]["median"]),
                number(last["scripts_per_call"]["median"]),
            )
        )
    heads = [f"{processes} process{'es' if processes > 1 else ''}, calls/s" for processes in counts]
    return table(["", *heads, "server, us a call", "server busy", "scripts a call"], lines)


def load_table(results: Results) -> str:
    """Return what a staleness asks of Redis."""
    lines = [
        (
            str(row["processes"]),
            whole(row["calls_per_second"]),
            f"{row['scripts_per_second']:.1f}",
            f"{row['scripts_per_second'] / row['processes']:.2f}",
            f"{row['bound'] / row['processes']:.0f}",
        )
        for row in results["load"]["rows"]
    ]
    heads = ["processes", "calls/s", "scripts/s at the server", "scripts/s per process", "1 / max_staleness"]
    return table(heads, lines)


def carries_table(results: Results) -> str:
    """Return what one core carries, by measurement."""
    lines = [
        (
            name,
            str(row["scripts"]),
            f"{row['cpu_us']['median']:.1f}",
            whole(1e6 / row["cpu_us"]["median"]),
            whole(row["calls_per_second"]["median"]),
            percent(row["server_busy"]["median"]),
        )
        for name, row in results["scale"].items()
    ]
    heads = [
        "scripts",
        "server CPU, us",
        "one core carries, per s",
        "reached here, per s",
        "server busy then",
    ]
    return table(["", *heads], lines)


def pods_table(results: Results) -> str:
    """Return what the measured costs mean for fleets, by arithmetic."""
    strict_us, refresh_us = _cost_us(results, STRICT_CALL), _cost_us(results, REFRESH)
    lines = []
    for pods in PODS:
        processes = pods * PROCESSES_PER_POD
        line = [whole(pods), whole(processes)]
        line += [_cores(processes * calls, strict_us) for calls in CALLS_PER_SECOND]
        line += [
            _cores(processes * refreshes_per_second(results, staleness), refresh_us) for staleness in BOUNDS
        ]
        lines.append(line)
    modes = [f"strict, {calls} calls/s each: cores" for calls in CALLS_PER_SECOND]
    modes += [f"max_staleness {staleness:g} s: cores, at most" for staleness in BOUNDS]
    return table(["pods", "processes", *modes], lines)


def arithmetic(results: Results) -> str:
    """Return the same in words, with the figures put in."""
    each = " or ".join(str(calls) for calls in CALLS_PER_SECOND)
    lines = [f"A pod has {PROCESSES_PER_POD} processes; each makes {each} calls a second."]
    strict_us, refresh_us = _cost_us(results, STRICT_CALL), _cost_us(results, REFRESH)
    if strict_us is not None:
        lines.append(f"Strict, cores of Redis: processes x calls a second x {strict_us:.1f} us.")
        lines.append(
            f"One breaker is one slot and so one core: {whole(SAFE_SHARE * 1e6 / strict_us)} strict calls "
            f"a second keep it {SAFE_SHARE * 100:.0f} % busy."
        )
    if refresh_us is not None:
        factor = refreshes_per_second(results, 1.0)
        lines.append(
            f"With a staleness of s seconds, however many calls: processes x {factor:.2f} / s x "
            f"{refresh_us:.1f} us at most, where {factor:.2f} / s is what a busy process asked in a second."
        )
    return "\n".join(f"- {line}" for line in lines)


def refreshes_per_second(results: Results, staleness: float) -> float:
    """Return how often a busy process asks: by what one asked, once in each bound or a little more."""
    load = results.get("load", {"rows": []})
    seen = [row["scripts_per_second"] / row["processes"] * load["max_staleness"] for row in load["rows"]]
    return max(seen, default=1.0) / staleness


def _cost_us(results: Results, name: str) -> float | None:
    row = results["scale"].get(name)
    return None if row is None else float(row["cpu_us"]["median"])


def cluster_table(results: Results) -> str:
    """Return how breakers spread over three masters."""
    found = results["cluster"]
    total = sum(row["scripts"] for row in found["masters"])
    lines = [
        (
            str(number_of_master + 1),
            str(row["breakers"]),
            str(row["keys"]),
            str(row["scripts"]),
            percent(row["scripts"] / total),
        )
        for number_of_master, row in enumerate(found["masters"])
    ]
    summary = (
        f"{found['breakers']} breakers in {found['slots']} slots, {found['calls']} strict calls, "
        f"{found['us_per_call']:.0f} us each from one thread."
    )
    return f"{summary}\n\n{table(['master', 'breakers', 'keys', 'scripts', 'share of them'], lines)}"


def _cores(per_second: float, cost_us: float | None) -> str:
    if cost_us is None:
        return "not measured"
    cores = per_second * cost_us / 1e6
    masters = max(1, math.ceil(cores / SAFE_SHARE))
    return f"{cores:.2g} ({masters} master{'s' if masters > 1 else ''})"


def _label(key: str) -> str:
    entry = CATALOGUE[key]
    return f"**{entry.label}**" if entry.is_breaker and not entry.is_peer else entry.label
