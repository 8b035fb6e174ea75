"""What is said of one invariant: one line, and behind it the cases that broke it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Verdict:
    """One invariant, compared."""

    number: int
    title: str
    figures: Mapping[str, float | str]
    broken: list[str] = field(default_factory=list)
    """One sentence for each case that broke it."""

    @property
    def holds(self) -> bool:
        """Whether nothing broke it."""
        return not self.broken

    def line(self) -> str:
        """Return the one line."""
        figures = ", ".join(f"{name} {_plain(value)}" for name, value in self.figures.items())
        return f"{'pass' if self.holds else 'FAIL'}  {self.number}. {self.title}: {figures}"


def _plain(value: float | str) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3f}" if value >= 0.1 or value == 0 else f"{value:.4f}"


def quantile(sorted_values: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values lies; 0 of nothing."""
    if not sorted_values:
        return 0.0
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]
