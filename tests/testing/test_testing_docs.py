"""What docs/testing.md shows, and the example that it names, run as their readers would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sharedbreaker.testing

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text()
FILES = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
EXAMPLE = ROOT / "examples" / "test_flask_app.py"


def test_the_page_and_the_example_run_as_they_stand(tmp_path: Path) -> None:
    """Every file of the page, saved under its name beside the others, passes; so does the example.

    In a process of its own, with nothing of these tests and no Redis where breakers look for one.
    """
    assert len(FILES) == PAGE.count("```python")
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:valkey", ".", EXAMPLE],
        cwd=tmp_path,
        env={**environment, "SHAREDBREAKER_REDIS_URL": "redis://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written = "\n".join((*FILES.values(), EXAMPLE.read_text()))
    tests = len(re.findall(r"^def test_", written, re.MULTILINE))
    assert re.search(rf"^{tests} passed", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.parametrize("name", sharedbreaker.testing.__all__)
def test_every_name_is_on_the_page(name: str) -> None:
    """Each public name is told of."""
    assert re.search(rf"`{name}\b", PAGE)


def test_every_fixture_is_on_the_page() -> None:
    """Each fixture that a test asks for is told of, and no other."""
    # Not before pytest has it as a plugin.
    from sharedbreaker.testing import fixtures

    told = set(re.findall(r"the fixture `(\w+)`", PAGE))
    assert told == set(fixtures.__all__) - {"circuit_redis_server"}
