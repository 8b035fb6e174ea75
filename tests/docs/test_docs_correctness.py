"""docs/correctness.md: every promise has a test, and every test that is named is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from docs_page import page

PAGE = page("correctness.md")
ROWS = re.findall(r"^\| (?!promise|---)(.+?) \| (.+?) \|$", PAGE.text, re.MULTILINE)


@cache
def names_in(file: Path) -> frozenset[str]:
    """The names of the tests in a file, without ``test_``, of those that pytest collects."""
    assert file.name.startswith("test_")
    functions = (node for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef))
    return frozenset(
        function.name.removeprefix("test_")
        for function in functions
        if function.name.startswith("test_") and ast.get_docstring(function)
    )


@pytest.mark.parametrize(("promise", "tests"), ROWS, ids=[promise[:60] for promise, _ in ROWS])
def test_each_promise_has_tests_that_are_there(promise: str, tests: str) -> None:
    """The tests that a promise names are in the files that it links to, and say what they hold."""
    links = re.findall(r"\[(\w+)\]\(([^)]+)\)", tests)

    assert links, promise
    for name, link in links:
        file, _ = PAGE.target(link)
        assert file.is_file(), link
        assert name in names_in(file), (name, link)


def test_the_page_is_read() -> None:
    """The rows are found: a page whose tables are written otherwise would pass unread."""
    assert len(ROWS) > 50
