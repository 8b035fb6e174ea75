"""The tables of docs/choosing-settings.md: one for each outage."""

from __future__ import annotations

import math

from benchmarks.markdown import table
from benchmarks.simulation.figures import AllFigures, Case, Figures
from benchmarks.simulation.outages import OUTAGES
from benchmarks.simulation.rules import RULES
from benchmarks.simulation.traffic import CALLS_PER_MINUTE

HEADS = (
    "rule",
    *(f"shared, {rate:,} a minute" for rate in CALLS_PER_MINUTE),
    *(f"one per process, {rate:,}" for rate in CALLS_PER_MINUTE),
)


def block_names() -> dict[str, int]:
    """Return the name of each outage's block in the page, and the outage's number."""
    return {outage.name.replace(" ", "-"): number for number, outage in enumerate(OUTAGES)}


def outage_table(figures: AllFigures, outage_number: int) -> str:
    """Return the table of one outage, a rule a line."""
    rows = []
    for rule_number, rule in enumerate(RULES):
        found = [
            figures.get(Case(rate, outage_number, rule_number, is_shared))
            for is_shared in (True, False)
            for rate in CALLS_PER_MINUTE
        ]
        rows.append((rule.name, *(cell(each) for each in found)))
    outage = OUTAGES[outage_number]
    return f"**{outage.name.capitalize()}**: {outage.words}.\n\n{table(HEADS, rows)}"


def cell(figures: Figures | None) -> str:
    """Return the four figures of a case, in two lines."""
    if figures is None:
        return ""
    counts = f"{_count(figures.failed)} + {_count(figures.wrongly_rejected)}"
    if math.isinf(figures.seconds_to_open):
        return f"{counts}<br>never"
    return f"{counts}<br>{_seconds(figures.seconds_to_open)}, {_seconds(figures.seconds_to_close)}"


def _count(value: float) -> str:
    return f"{value:.1f}" if 0 < value < 9.95 else f"{value:,.0f}"


def _seconds(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.1f} s" if 0 < value < 9.95 else f"{value:.0f} s"
