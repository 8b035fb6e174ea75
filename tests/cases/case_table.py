"""Writes README.md beside it, the table of the wild cases and of the tests that try them: `make docs`."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import yaml

FOLDER = Path(__file__).parent
PAGE = FOLDER / "README.md"
FAILED = "Failed at first: "
_OF_A_CASE = re.compile(r"test_sb(\d{3})_\w+")
_OF_A_PEER = re.compile(r"test_peer_\w+")
_HEAD = """# The wild cases

Faults that people met in other breakers, in Redis clients and around Google's SDKs, from public reports.
Each is a test here, named after its case, or several. Where a test failed when it was first written, the
table says what was wrong: all of it is mended. `make docs` writes this page, from `cases.yaml` and from what
the tests' docstrings say.
"""
_PEERS = """
## What peers do when run

And what a dozen other breakers were seen to do when they were run, where no case above says it:

| what must hold | test | failed at first |
|---|---|---|
"""


@dataclass(frozen=True)
class CaseTest:
    """One test, as its source tells of it."""

    file: str
    name: str
    promise: str
    """The first paragraph of its docstring: what must hold."""
    fault: str
    """What was wrong with the product when the test was first written, or nothing."""

    @property
    def case(self) -> str | None:
        """The id of its case. None is a test of what peers do."""
        match = _OF_A_CASE.fullmatch(self.name)
        return f"SB-{match[1]}" if match else None

    @property
    def link(self) -> str:
        return f"[`{self.name}`]({self.file})"


def cases() -> dict[str, dict[str, str]]:
    """Category to id to title, of all cases."""
    return cast("dict[str, dict[str, str]]", yaml.safe_load((FOLDER / "cases.yaml").read_text()))


def case_tests(folder: Path = FOLDER) -> list[CaseTest]:
    """Every test of a case or of a peer, in the order of files and lines."""
    return [test for path in sorted(folder.glob("test_case_*.py")) for test in _tests_in(path)]


def _tests_in(path: Path) -> Iterator[CaseTest]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if _OF_A_CASE.fullmatch(node.name) or _OF_A_PEER.fullmatch(node.name):
            yield _told_by(path.name, node)


def _told_by(file: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> CaseTest:
    docstring = ast.get_docstring(node)
    if not docstring:
        raise ValueError(f"{file}: {node.name} does not say what must hold")
    paragraphs = [" ".join(paragraph.split()) for paragraph in inspect.cleandoc(docstring).split("\n\n")]
    fault = paragraphs[-1].removeprefix(FAILED) if paragraphs[-1].startswith(FAILED) else ""
    told = len(re.findall(r"failed at first", docstring, re.IGNORECASE))
    if told != bool(fault):
        raise ValueError(f"{file}: {node.name} must tell of its fault in a last paragraph '{FAILED}...'")
    return CaseTest(file, node.name, paragraphs[0], fault)


def page(listed: dict[str, dict[str, str]], tests: list[CaseTest]) -> str:
    """The whole of README.md."""
    titles = {case: title for category in listed.values() for case, title in category.items()}
    strangers = [test.name for test in tests if test.case is not None and test.case not in titles]
    if strangers:
        raise ValueError(f"tests of cases that cases.yaml does not list: {strangers}")
    by_case = {case: [test for test in tests if test.case == case] for case in titles}
    sections = [
        _section(category, {case: (title, by_case[case]) for case, title in of_category.items()})
        for category, of_category in listed.items()
    ]
    peers = [test for test in tests if test.case is None]
    return "\n".join([_HEAD, _summary(by_case), *sections]) + (_peers(peers) if peers else "")


def _summary(by_case: dict[str, list[CaseTest]]) -> str:
    failed = [case for case, tests in by_case.items() if any(test.fault for test in tests)]
    return (
        f"{len(by_case)} cases, {sum(map(len, by_case.values()))} tests. "
        f"{len(failed)} cases found a fault here: {', '.join(failed) or 'none'}.\n"
    )


def _section(category: str, told: dict[str, tuple[str, list[CaseTest]]]) -> str:
    rows = [
        f"| {case} | {_cell(title)} | {'<br>'.join(test.link for test in tests)} | {_faults(tests)} |"
        for case, (title, tests) in told.items()
    ]
    head = [f"## {category}", "", "| case | the fault | tests | failed at first |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def _peers(tests: list[CaseTest]) -> str:
    rows = [f"| {_cell(test.promise)} | {test.link} | {_faults([test])} |" for test in tests]
    return _PEERS + "\n".join([*rows, ""])


def _faults(tests: list[CaseTest]) -> str:
    return "<br>".join(_cell(fault) for fault in dict.fromkeys(test.fault for test in tests) if fault) or "no"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(cases(), case_tests()))
