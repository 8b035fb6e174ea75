"""docs/tutorial.md, followed word by word on real servers: it ends with an app that is protected."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest
from docs_page import page
from tutorial_reader import Reader

PAGE = page("tutorial.md")


@pytest.mark.timeout(300)
def test_who_follows_it_ends_with_a_protected_app(tmp_path: Path) -> None:
    """Each command, run in its order, prints what stands below it, up to the circuit that closed again."""
    folder = tmp_path / "empty"
    folder.mkdir()
    reader = Reader(PAGE, folder)
    commands = 0
    try:
        for printed, shown in reader.follow():
            assert printed == shown
            commands += 1
    finally:
        reader.close()

    assert commands == len(re.findall(r"^\$ ", PAGE.text, re.MULTILINE)) - 7  # those of ```console stays
    log = (tmp_path / "gunicorn.log").read_text()
    assert "google_ai_text_generation" in log
    assert log.count("Booting worker") == 4


def test_what_it_installs_is_offered() -> None:
    """Each extra that the page installs is one of the package's."""
    extras = re.search(r"sharedbreaker\[([\w,-]+)\]", PAGE.text)

    assert extras is not None
    offered = importlib.metadata.metadata("sharedbreaker").get_all("Provides-Extra")
    assert set(extras[1].split(",")) <= set(offered or ())


def test_the_breaker_changes_no_view() -> None:
    """The second app has every line of the first, but for the one that makes the client."""
    first, second = (block.text.splitlines() for block in PAGE.blocks("python"))

    assert [line for line in first if line not in second] == ["client = genai.Client()"]
