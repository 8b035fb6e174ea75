"""When to come back, as HTTP says it."""

from __future__ import annotations

import math


def retry_after_seconds(seconds: float) -> str:
    """Return the value of a Retry-After header: whole seconds, never too early, at least 1."""
    return str(max(1, math.ceil(seconds)))
