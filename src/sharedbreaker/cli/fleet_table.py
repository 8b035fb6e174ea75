"""The table of all circuits, for `status` and `watch`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.cli.picture import failures, since, state_in_words, style_of, until, why
from sharedbreaker.cli.printing import cell, table

WIDTH_FOR_FIGURES = 100
"""Columns of a terminal below which the figures give way to the words."""


def fleet_table(circuits: Sequence[Snapshot], width: int) -> Table:
    """Return one line a circuit. On a narrow terminal without figures."""
    has_figures = width >= WIDTH_FOR_FIGURES
    figures = ("FAILURES", "CALLS", "SUCCESS", "REJECTED", "IN FLIGHT") if has_figures else ()
    made = table("NAME", "STATE", "SINCE", "UNTIL", *figures, "WHY")
    for column in made.columns:
        if column.header in figures:
            column.justify = "right"
    for circuit in circuits:
        success = circuit.percent_of("successful_calls", circuit.total_calls)
        shown = (
            failures(circuit),
            str(circuit.total_calls),
            "-" if success is None else f"{success:.2f} %",
            str(circuit.count("rejected_calls")),
            str(circuit.calls_in_flight),
        )
        words = (
            since(circuit) or "-",
            until(circuit) or "-",
            *(shown if has_figures else ()),
            why(circuit) or "-",
        )
        state = cell(state_in_words(circuit), style_of(circuit))
        made.add_row(cell(circuit.name), state, *map(cell, words))
    return made
