"""The pictures of docs/choosing-settings.md."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.simulation.figures import AllFigures, Case, Figures
from benchmarks.simulation.outages import LASTS, OUTAGES
from benchmarks.simulation.rules import RULES
from benchmarks.simulation.traffic import CALLS_PER_MINUTE

SHARED_COLOUR = "#0b7285"
ALONE_COLOUR = "#868e96"
WRONGLY_COLOUR = "#e8590c"
WRONGLY_ALONE_COLOUR = "#ffc9a3"
BAR = 0.38
NEVER_AT = LASTS

Draw = Callable[[Any, float, Figures, bool], None]
"""Draws one case's figures into an axis, at a height."""


def draw(figures: AllFigures, folder: Path) -> list[Path]:
    """Draw into ``folder``; return the files."""
    import matplotlib as mpl  # noqa: PLC0415 - only who draws needs it

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "sharedbreaker", "font.size": 8, "svg.fonttype": "none"})
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, draw_case, finish in (("calls", _calls, _finish_calls), ("seconds", _seconds, _finish_seconds)):
        figure = _grid(figures, draw_case, finish)
        path = folder / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
        drawn.append(path)
    return drawn


def _grid(figures: AllFigures, draw_case: Draw, finish: Callable[[Any], None]) -> Any:
    from matplotlib.figure import Figure  # noqa: PLC0415

    size = (4 * len(CALLS_PER_MINUTE), 0.25 * len(RULES) * len(OUTAGES))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(OUTAGES), len(CALLS_PER_MINUTE), squeeze=False, sharex=True, sharey=True)
    for outage_number, outage in enumerate(OUTAGES):
        for axis, rate in zip(axes[outage_number], CALLS_PER_MINUTE, strict=True):
            for rule_number in range(len(RULES)):
                for is_shared in (True, False):
                    found = figures.get(Case(rate, outage_number, rule_number, is_shared))
                    if found is not None:
                        height = rule_number + (-BAR if is_shared else BAR) / 2
                        draw_case(axis, height, found, is_shared)
            axis.set_title(f"{outage.name}, {rate:,} calls a minute")
            axis.set_yticks(range(len(RULES)), [rule.name for rule in RULES])
            axis.grid(axis="x", alpha=0.3)
    axes[0][0].invert_yaxis()
    for axis in axes[-1]:
        finish(axis)
    handles, labels = axes[0][-1].get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))
    figure.legend(known.values(), known.keys(), loc="outside upper center", ncols=len(known))
    return figure


def _calls(axis: Any, height: float, figures: Figures, is_shared: bool) -> None:
    failed = 100 * figures.failed / figures.calls
    rejected = 100 * figures.wrongly_rejected / figures.calls
    whose = "shared" if is_shared else "one per process"
    colour = SHARED_COLOUR if is_shared else ALONE_COLOUR
    axis.barh(height, failed, BAR, color=colour, label=f"failed, {whose}")
    colour = WRONGLY_COLOUR if is_shared else WRONGLY_ALONE_COLOUR
    axis.barh(height, rejected, BAR, left=failed, color=colour, label=f"wrongly rejected, {whose}")


def _finish_calls(axis: Any) -> None:
    axis.set_xlabel("percent of the calls that came during the outage")


def _seconds(axis: Any, height: float, figures: Figures, is_shared: bool) -> None:
    whose = "shared" if is_shared else "one per process"
    colour = SHARED_COLOUR if is_shared else ALONE_COLOUR
    opens = figures.seconds_to_open
    axis.plot(_shown(opens), height, "o", color=colour, label=f"opens, {whose}")
    if not math.isinf(opens):
        axis.plot(_shown(figures.seconds_to_close), height, "x", color=colour, label=f"closes, {whose}")


def _finish_seconds(axis: Any) -> None:
    axis.set_xscale("symlog", linthresh=1)
    ticks = [0, 1, 10, 100, NEVER_AT]
    axis.set_xticks(ticks, [*(str(tick) for tick in ticks[:-1]), "never"])
    axis.set_xlabel("seconds after the outage began, or ended")


def _shown(seconds: float) -> float:
    return min(seconds, NEVER_AT)
