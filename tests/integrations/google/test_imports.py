"""Neither SDK is imported unless it is used, and neither need be installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT_SDKS = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"google", "grpc", "httpx", "httpx2", "aiohttp", "requests"}:
            raise ModuleNotFoundError(f"no {name} here", name=name)

sys.meta_path.insert(0, Missing())
"""

IMPORTS = """
import sys
# A package of Google's may leave its name behind in every Python that it is installed for.
before = set(sys.modules)
import sharedbreaker
from sharedbreaker.google_errors import outcome_of as a, retry_after_of
from sharedbreaker.integrations.google_genai import guard, outcome_of as b
from sharedbreaker.integrations.google_generativeai import guard as other, outcome_of as c
assert a is b is c
assert a(TimeoutError()) == "failure"
sdks = {"google", "grpc", "httpx", "httpx2", "aiohttp"}
loaded = [name for name in sys.modules.keys() - before if name.partition(".")[0] in sdks]
assert loaded == [], loaded
for refuses in (guard, other):
    try:
        refuses(object())
    except TypeError:
        pass
    else:
        raise AssertionError(refuses)
"""


@pytest.mark.parametrize("before", ["", WITHOUT_SDKS], ids=["as it is", "without SDKs"])
def test_the_integrations_import_no_sdk(before: str) -> None:
    """Importing everything of ours loads nothing of Google's, and works where there is nothing to load."""
    done = subprocess.run(
        [sys.executable, "-c", before + IMPORTS], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr
