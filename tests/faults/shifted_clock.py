"""A wall clock that jumps: what a process sees whose machine's clock is set while it runs."""

from __future__ import annotations

import time

_true_time = time.time
_true_time_ns = time.time_ns
_offset = [0.0]


def shift_clock(seconds: float) -> None:
    """Move this process' `time.time` and `time.time_ns` to so many seconds off the true time."""
    _offset[0] = seconds
    time.time = lambda: _true_time() + _offset[0]
    time.time_ns = lambda: _true_time_ns() + int(_offset[0] * 1_000_000_000)
