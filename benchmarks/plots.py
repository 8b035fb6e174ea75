"""The pictures of docs/performance.md."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from benchmarks.catalogue import CATALOGUE
from benchmarks.figures import Results
from benchmarks.report_load import (
    BOUNDS,
    CALLS_PER_SECOND,
    PROCESSES_PER_POD,
    REFRESH,
    STRICT_CALL,
    refreshes_per_second,
)
from benchmarks.scenario import Scenario

OURS_COLOUR = "#0b7285"
VIEW_COLOUR = "#e8590c"
PEER_COLOUR = "#868e96"
FLOOR_COLOUR = "#212529"
INCHES_PER_BAR = 0.27
DECADES_PER_LABEL = 0.06


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw what was measured into ``folder``; return the files."""
    import matplotlib as mpl  # noqa: PLC0415 - only the full run draws

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "sharedbreaker", "font.size": 9, "svg.fonttype": "none"})
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"calls": _calls, "fleet": _fleet, "load": _load, "scale": _scale}
    drawn = []
    for section, picture in pictures.items():
        if not results.get(section):
            continue
        figure = picture(results)
        path = folder / f"{section}.svg"
        figure.savefig(path, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
        drawn.append(path)
    return drawn


def _colour(key: str) -> str:
    entry = CATALOGUE[key]
    if not entry.is_breaker:
        return FLOOR_COLOUR
    return PEER_COLOUR if entry.is_peer else OURS_COLOUR


def _new(rows: int, columns: int, width: float, height: float) -> Any:
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _calls(results: Results) -> Any:
    rows = results["calls"]["rows"]
    figure, axes = _new(1, 3, 12, 1.2 + INCHES_PER_BAR * len(rows))
    keys = sorted(rows, key=lambda key: -float(rows[key]["success"]["seconds"]["median"]))
    for axis, scenario in zip(axes[0], Scenario, strict=True):
        for place, key in enumerate(keys):
            cell = rows[key].get(scenario.value)
            if cell is None:
                continue
            seconds = cell["seconds"]
            us = [seconds[name] * 1e6 for name in ("low", "median", "high")]
            axis.barh(place, us[1], color=_colour(key), xerr=[[us[1] - us[0]], [us[2] - us[1]]])
        axis.set_xscale("log")
        axis.set_title(scenario.value)
        axis.set_xlabel("microseconds a call")
        labels = [CATALOGUE[key].label for key in keys] if axis is axes[0][0] else []
        axis.set_yticks(range(len(keys)) if labels else [], labels)
        axis.set_ylim(-0.6, len(keys) - 0.4)
        axis.axvline(results["calls"]["floor_seconds"]["median"] * 1e6, color=FLOOR_COLOUR, linestyle=":")
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _fleet(results: Results) -> Any:
    figure, axes = _new(1, 1, 8, 5)
    axis = axes[0][0]
    counts = sorted({int(processes) for row in results["fleet"].values() for processes in row})
    lowest = -math.inf
    for key, row in sorted(results["fleet"].items(), key=lambda pair: _at_most(pair[1], counts)):
        calls = [row[str(processes)]["calls_per_second"]["median"] for processes in counts]
        axis.plot(counts, calls, color=_colour(key), marker="o", markersize=3)
        # Labels that would lie on each other move up.
        lowest = max(math.log10(calls[-1]), lowest + DECADES_PER_LABEL)
        axis.text(
            counts[-1] * 1.1, 10**lowest, CATALOGUE[key].label, fontsize=7, va="center", color=_colour(key)
        )
    axis.set_yscale("log")
    axis.set_xscale("log", base=2)
    axis.set_xticks(counts, [str(processes) for processes in counts])
    axis.set_xlabel("processes, back to back")
    axis.set_ylabel("calls a second")
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def _at_most(row: dict[str, Any], counts: list[int]) -> float:
    return float(row[str(counts[-1])]["calls_per_second"]["median"])


def _load(results: Results) -> Any:
    figure, axes = _new(1, 1, 6, 3.5)
    axis = axes[0][0]
    rows = results["load"]["rows"]
    for gap, style in ((0.01, "--"), (0.001, "-")):
        chosen = [row for row in rows if row["gap"] == gap]
        axis.plot(
            [row["processes"] for row in chosen],
            [row["scripts_per_second"] for row in chosen],
            style,
            color=OURS_COLOUR,
            marker="o",
            label=f"a call every {gap * 1000:.0f} ms",
        )
    axis.set_xlabel("processes")
    axis.set_ylabel("scripts a second at the server")
    axis.set_ylim(bottom=0)
    if rows:
        axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def _scale(results: Results) -> Any:
    figure, axes = _new(1, 1, 6, 3.5)
    axis = axes[0][0]
    pods = [1, 10_000]
    lines = []
    scale = results["scale"]
    if STRICT_CALL in scale:
        cost = scale[STRICT_CALL]["cpu_us"]["median"]
        for calls, style in zip(CALLS_PER_SECOND, ("-", "--"), strict=True):
            lines.append(
                (f"strict, {calls} calls/s each", PROCESSES_PER_POD * calls * cost / 1e6, OURS_COLOUR, style)
            )
    if REFRESH in scale:
        cost = scale[REFRESH]["cpu_us"]["median"]
        for staleness, style in zip(BOUNDS, ("--", "-"), strict=True):
            refreshes = PROCESSES_PER_POD * refreshes_per_second(results, staleness)
            lines.append((f"max_staleness {staleness:g} s", refreshes * cost / 1e6, VIEW_COLOUR, style))
    for label, cores_per_pod, colour, style in lines:
        axis.plot(pods, [each * cores_per_pod for each in pods], style, color=colour, label=label)
    axis.axhline(1, color=FLOOR_COLOUR, linewidth=0.8)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel(f"pods of {PROCESSES_PER_POD} processes")
    axis.set_ylabel("cores of Redis")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    return figure
