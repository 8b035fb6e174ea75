"""The page that `make bench` writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.page import UnknownBlockError, filled
from benchmarks.report import BLOCKS

PAGE = (Path(__file__).parents[2] / "docs" / "performance.md").read_text()
INSIDE = re.compile(r"(?<=-->\n).*?(?=<!-- bench ends)", re.DOTALL)


def test_the_page_has_each_block_once() -> None:
    """docs/performance.md asks for every block that is made, and for each of them once."""
    assert sorted(re.findall(r"<!-- bench: ([\w-]+) -->", PAGE)) == sorted(BLOCKS)


def test_only_the_blocks_are_made_anew() -> None:
    """What stood in a block is gone, and the prose around it stays."""
    old = filled(PAGE, lambda _name: "old", set(BLOCKS))
    made = filled(old, "made {}.".format, set(BLOCKS))

    assert len(re.findall(r"^made [\w-]+\.$", made, re.MULTILINE)) == len(BLOCKS)
    assert "\nold\n" not in made
    assert INSIDE.sub("", made) == INSIDE.sub("", PAGE)


def test_a_block_that_nobody_makes_is_refused() -> None:
    """A typo in a marker is told, with the names that there are."""
    with pytest.raises(UnknownBlockError, match=r"'mraks'; there are .*marks"):
        filled("<!-- bench: mraks -->\n<!-- bench ends -->", str, {"marks"})
