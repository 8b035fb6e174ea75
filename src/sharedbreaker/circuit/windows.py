"""The latest calls of a closed circuit, and how many of them were bad, in memory that does not grow."""

from __future__ import annotations

import math
from collections.abc import Mapping

SLICES = 10


class Window:
    """One rate's calls, over a time or over the last of them, as its settings say.

    Over a time it is a ring of ten slices: what is counted is never older than the window, and at its
    youngest a tenth of the window short of it. Over the last calls it is exact.

    Args:
        name: ``failure_rate`` or ``slow_call_rate``, which its settings and fields begin with.

    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._slices: dict[int, tuple[int, int, int]] = {}
        self._ring = ""

    def clear(self) -> None:
        """Forget all calls."""
        self._slices = {}
        self._ring = ""

    def add(self, settings: Mapping[str, int], now_ms: int, calls: int, bad: int) -> None:
        """Take note of ``calls`` that ended now, of which the last ``bad`` were so."""
        most = settings[f"{self._name}_window_calls"]
        if most:
            latest = "0" * min(calls - bad, most) + "1" * min(bad, most)
            self._ring = (self._ring + latest)[-most:]
            return
        now_slice = self._slice(settings, now_ms)
        slice_then, calls_then, bad_then = self._slices.get(now_slice % SLICES, (now_slice, 0, 0))
        if slice_then != now_slice:
            calls_then = bad_then = 0
        self._slices[now_slice % SLICES] = (now_slice, calls_then + calls, bad_then + bad)

    def sums(self, settings: Mapping[str, int], now_ms: int) -> tuple[int, int]:
        """Return how many calls the window holds, and how many of them were bad."""
        most = settings[f"{self._name}_window_calls"]
        if most:
            ring = self._ring[-most:]
            return len(ring), ring.count("1")
        now_slice = self._slice(settings, now_ms)
        kept = [of for of in self._slices.values() if now_slice - SLICES < of[0] <= now_slice]
        return sum(calls for _, calls, _ in kept), sum(bad for _, _, bad in kept)

    def fields(self) -> dict[str, str]:
        """Return it as fields of the hash."""
        fields = {f"{self._name}:{slot}": "{} {} {}".format(*of) for slot, of in self._slices.items()}
        if self._ring:
            fields[f"{self._name}:calls"] = self._ring
        return fields

    @classmethod
    def of_fields(cls, name: str, fields: Mapping[str, str]) -> Window:
        """Return the window that a circuit's hash holds; what no script wrote is left out."""
        window = cls(name)
        window._ring = fields.get(f"{name}:calls", "")
        for slot in range(SLICES):
            parts = fields.get(f"{name}:{slot}", "").split(" ")
            if len(parts) == 3 and all(part.isdecimal() for part in parts):  # noqa: PLR2004
                window._slices[slot] = (int(parts[0]), int(parts[1]), int(parts[2]))
        return window

    def _slice(self, settings: Mapping[str, int], now_ms: int) -> int:
        return now_ms // math.ceil(max(1, settings[f"{self._name}_window_ms"]) / SLICES)
