"""What a case may be tried with: either kind of breaker, strict or on a view of some age."""

from __future__ import annotations

import pytest

import breaker_kinds

both_kinds = pytest.mark.parametrize("breaker_kind", list(breaker_kinds.KINDS), indirect=True)
"""The test runs for each kind; ``circuit_in_redis.new_breaker`` makes one of it."""
strict_and_stale = pytest.mark.parametrize("max_staleness", [0, 30], ids=["strict", "stale"])
"""Thirty seconds: no view ends by itself within a test."""
