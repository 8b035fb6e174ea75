"""Moments and times, as people read and write them."""

from __future__ import annotations

import re
from datetime import datetime

import click

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SHOWN = (("d", 86400), ("h", 3600), ("min", 60))
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
FEW_SECONDS = 10


def lasting(seconds: float) -> str:
    """Return a time in its two largest units, such as ``3 min 20 s``."""
    if seconds < FEW_SECONDS and seconds != int(seconds):
        return f"{seconds:.1f} s"
    left = int(seconds)
    parts: list[str] = []
    for unit, size in _SHOWN:
        if left >= size or parts:
            parts.append(f"{left // size} {unit}")
            left %= size
    parts.append(f"{left} s")
    return " ".join(part for part in parts[:2] if not part.startswith("0 ") or len(parts) == 1)


def moment(unix_seconds: float) -> str:
    """Return a moment as a clock on the wall here shows it."""
    return datetime.fromtimestamp(unix_seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def seconds_in_words(words: str) -> float:
    """Return ``90``, ``90s``, ``10m``, ``2h`` or ``1d`` as seconds; raise ValueError for anything else."""
    found = _DURATION.fullmatch(words.strip())
    if found is None:
        raise ValueError(
            f"{words!r} is no time: write seconds, or a number with ms, s, m, h or d, such as 10m"
        )
    return float(found[1]) * _UNITS[found[2] or "s"]


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """A time on the command line, in seconds or with its unit."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return it as seconds."""
        if isinstance(value, float):
            return value
        try:
            return seconds_in_words(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
