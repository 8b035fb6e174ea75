"""Medians, spreads and ratios."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """A sample in three numbers."""

    median: float
    low: float
    """The first quartile."""
    high: float
    """The third quartile."""

    def as_dict(self) -> dict[str, float]:
        return {"median": self.median, "low": self.low, "high": self.high}


def spread(values: Sequence[float]) -> Spread:
    """Return median and quartiles; a single value is its own quartile."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def ratios(values: Sequence[float], anchors: Sequence[float]) -> Spread:
    """Return the spread of the ratios within each round."""
    return spread([value / anchor for value, anchor in zip(values, anchors, strict=True)])


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that so many percent of the sample do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
