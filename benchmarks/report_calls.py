"""The tables of single calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.catalogue import CATALOGUE, FLOOR, Entry
from benchmarks.figures import Results
from benchmarks.markdown import number, ratio, spread_us, table, us
from benchmarks.scenario import Scenario

NONE = "-"


def redis_table(results: Results) -> str:
    """Return the subjects that ask Redis on each call, the floor first, with what they cost the server."""
    rows = _rows(results, lambda entry: entry.key.startswith(FLOOR) or entry.keeps == "redis")
    heads = ["", "success, us", "x floor", "failure, us", "x floor", "rejection, us", "x floor"]
    return table(
        [*heads, "round trips s/f/r", "commands s/f/r", "scripts s/f/r"],
        ([*_cells(entry, row), *_counts(row)] for entry, row in rows),
    )


def memory_table(results: Results) -> str:
    """Return the subjects most of whose calls never leave the process."""
    rows = _rows(results, lambda entry: entry.keeps in {"view", "memory"} or entry.key.startswith("bare"))
    heads = ["", "success, us", "x floor", "failure, us", "x floor", "rejection, us", "x floor"]
    return table(
        [*heads, "scripts s/f/r"],
        ([*_cells(entry, row), _slashed(row, "scripts")] for entry, row in rows),
    )


def unlike_table(results: Results) -> str:
    """Return what about each row is not like for like, and who could not be measured."""
    measured = results["calls"]["rows"]
    lines = [
        (f"**{entry.label}**" if not entry.is_peer else entry.label, entry.unlike)
        for entry in CATALOGUE.values()
        if entry.unlike and entry.key in measured
    ]
    lines += [
        (CATALOGUE[key].label, f"not measured: {why}") for key, why in results.get("skipped", {}).items()
    ]
    return table(["", "what to keep in mind"], lines)


def _rows(results: Results, wanted: Any) -> Iterable[tuple[Entry, dict[str, Any]]]:
    measured = results["calls"]["rows"]
    found = [(entry, measured[key]) for key, entry in CATALOGUE.items() if key in measured and wanted(entry)]
    return sorted(found, key=lambda pair: _order(*pair))


def _order(entry: Entry, row: dict[str, Any]) -> tuple[bool, float]:
    return entry.is_breaker, float(row[Scenario.SUCCESS.value]["seconds"]["median"])


def _cells(entry: Entry, row: dict[str, Any]) -> list[str]:
    cells = [f"**{entry.label}**" if entry.is_breaker and not entry.is_peer else entry.label]
    for scenario in Scenario:
        cell = row.get(scenario.value)
        if cell is None:
            cells += [NONE, NONE]
        elif scenario is Scenario.SUCCESS:
            cells += [spread_us(cell["seconds"]), ratio(cell["ratio"])]
        else:
            cells += [us(cell["seconds"]["median"]), ratio(cell["ratio"])]
    return cells


def _counts(row: dict[str, Any]) -> list[str]:
    return [_slashed(row, name) for name in ("round_trips", "commands", "scripts")]


def _slashed(row: dict[str, Any], name: str) -> str:
    cells = [row[scenario.value] for scenario in Scenario if scenario.value in row]
    counted = [number(cell["counts"][name]) for cell in cells if "counts" in cell]
    return " / ".join(counted) or NONE
