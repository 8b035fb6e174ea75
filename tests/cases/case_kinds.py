"""Both kinds of breaker, strict and with a staleness, for cases that must hold for all of them."""

from __future__ import annotations

import pytest

from breaker_kinds import KINDS

STALENESS = 0.05
"""Short enough that a test can wait for a view to be too old."""

for_both_kinds = pytest.mark.parametrize("breaker_kind", list(KINDS), indirect=True)
strict_and_stale = pytest.mark.parametrize("max_staleness", [0, STALENESS], ids=["strict", "stale"])
