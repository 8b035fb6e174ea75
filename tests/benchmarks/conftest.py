"""Lets these tests import the benchmarks, which are no part of the product and so are not installed."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
