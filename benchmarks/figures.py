"""The results of a run, by the names that marks and tables use."""

from __future__ import annotations

from typing import Any

from benchmarks.statistic import ratios

Results = dict[str, Any]


class NotMeasuredError(LookupError):
    """A figure is not in the results. Says why."""


class Figures:
    """The results of a run, by the names that the marks use."""

    def __init__(self, results: Results) -> None:
        self.results = results

    def section(self, name: str) -> Any:
        if name not in self.results:
            raise NotMeasuredError(f"section {name} was not run")
        return self.results[name]

    def row(self, section: str, key: str, rows: Any = None) -> Any:
        rows = self.section(section) if rows is None else rows
        if key not in rows:
            raise NotMeasuredError(self.results.get("skipped", {}).get(key, f"{key} was not run"))
        return rows[key]

    def value(self, section: str, *path: str) -> float:
        """Return the figure that lies under ``path``."""
        found = self.row(section, path[0])
        for step in path[1:]:
            found = found[step]
        return float(found)

    def median(self, section: str, *path: str) -> float:
        """Return the median that lies under ``path``."""
        return self.value(section, *path, "median")

    def cell(self, key: str, scenario: str) -> Any:
        return self.row("calls", key, self.section("calls")["rows"])[scenario]

    def to_floor(self, key: str, scenario: str) -> float:
        return float(self.cell(key, scenario)["ratio"]["median"])

    def scripts(self, key: str, scenario: str) -> float:
        return float(self.cell(key, scenario)["counts"]["scripts"])

    def beside(self, key: str, other: str, scenario: str) -> float:
        """Return how many times as long as ``other`` it takes, within the same rounds."""
        ours, theirs = self.cell(key, scenario)["rounds"], self.cell(other, scenario)["rounds"]
        return ratios(ours, theirs).median

    def paced(self, gap: str, key: str) -> Any:
        return self.row("paced", key, self.section("paced")[gap])
