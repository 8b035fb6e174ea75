"""A plugin for pytest: Hypothesis looks for a difference and stops at the first, without making it small."""

from __future__ import annotations

from hypothesis import Phase, settings

settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate], database=None, derandomize=True)
settings.load_profile("mutants")
