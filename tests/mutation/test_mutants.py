"""The runner of mutants: what it makes of a text, and that it tells a noticed fault from another."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutant_hunt import COPIED, Hunt
from mutants import Mutant, mutants_of
from run_mutants import chosen, table

LUA = "local late = now_ms - 5 >= ends_ms -- not > later\nif late then\n  tally('lost',\n    -1)\nend\n"


def described(path: str, text: str) -> list[str]:
    return [mutant.described(text).partition(" -> ")[2] for mutant in mutants_of(path, text)]


def test_lua_is_mutated_outside_of_comments() -> None:
    """Operators, numbers and calls that stand alone change one at a time; comments and signs do not."""
    assert described("a.lua", LUA) == [
        "local late = now_ms + 5 >= ends_ms -- not > later",
        "local late = now_ms - 6 >= ends_ms -- not > later",
        "local late = now_ms - 5 > ends_ms -- not > later",
        "do end",
        "-0)",
        "-2)",
    ]


def test_python_is_mutated_outside_of_docstrings() -> None:
    """A word of the rules is swapped for its neighbour, and texts that people read stay."""
    text = 'def f(x: int) -> bool:\n    """Return 1 or 0."""\n    return x is not None and "open" != STATE\n'

    assert described("a.py", text) == [
        'return x is None and "open" != STATE',
        'return x is not None or "open" != STATE',
        'return x is not None and "half_open" != STATE',
        'return x is not None and "open" == STATE',
    ]


def test_no_mutant_is_unreadable() -> None:
    """A fault that Python's parser finds says nothing about tests."""
    assert described("a.py", "from a import (\n    b,\n)\nx = [*y]\n") == []


def test_statement_over_several_lines_is_dropped_whole() -> None:
    """What is left is a text that can be read."""
    dropped = next(mutant for mutant in mutants_of("a.lua", LUA) if mutant.replacement == "do end")

    assert dropped.within(LUA).endswith("if late then\n  do end\nend\n")


def test_seed_repeats_a_sample() -> None:
    """The same seed has the same mutants, in the order of the file; another has others."""
    mutants = [Mutant("a.lua", start, start + 1, "x") for start in range(100)]

    assert chosen(mutants, 10, 1) == sorted(chosen(mutants, 10, 1))
    assert chosen(mutants, 10, 1) == chosen(mutants, 10, 1) != chosen(mutants, 10, 2)
    assert chosen(mutants, None, 1) == mutants


def test_table_counts_by_file() -> None:
    """Each file has a line, and all of them one."""
    mutants = [Mutant("a.lua", 0, 1, ""), Mutant("a.lua", 1, 2, ""), Mutant("b.py", 0, 1, "")]

    assert table(mutants, mutants[1:2]).splitlines() == [
        "a.lua     1 killed     1 survived",
        "b.py      1 killed     0 survived",
        "all       2 killed     1 survived",
    ]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of one function and one test that looks at one side of it only."""
    root = tmp_path / "root"
    for name in COPIED[:3]:
        (root / name).mkdir(parents=True)
    (root / "src" / "limit.py").write_text("def is_over(x):\n    return x > 3\n")
    (root / "tests" / "conftest.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--breakers')\n"
    )
    (root / "tests" / "test_limit.py").write_text(
        "from limit import is_over\n\n\ndef test_limit():\n    assert is_over(5) and not is_over(3)\n"
    )
    (root / "tests" / "mutation").mkdir()
    (root / "tests" / "mutation" / "quick_search.py").write_text("")
    (root / "pyproject.toml").write_text("")
    return root


def test_hunt_tells_what_no_test_notices(tree: Path, tmp_path: Path) -> None:
    """Of two faults the tests see one; the tree itself is as it was, and the copies are gone."""
    text = (tree / "src" / "limit.py").read_text()
    mutants = mutants_of("src/limit.py", text)
    (tmp_path / "copies").mkdir()

    with Hunt(tree, tmp_path / "copies", 1, ["tests/test_limit.py"]) as hunt:
        hunt.seconds_without_mutant()
        survivors = hunt.survivors(mutants, lambda mutant, is_alive: None)

    assert [mutant.described(text) for mutant in survivors] == [
        "src/limit.py:2 return x > 3 -> return x > 4",
    ]
    assert len(mutants) == 2
    assert (tree / "src" / "limit.py").read_text() == text
    assert not (tmp_path / "copies").exists()


def test_hunt_refuses_tests_that_are_red_anyway(tree: Path, tmp_path: Path) -> None:
    """What fails without a mutant would kill each of them."""
    (tree / "tests" / "test_limit.py").write_text("def test_limit():\n    assert False\n")
    (tmp_path / "copies").mkdir()

    with (
        Hunt(tree, tmp_path / "copies", 1, ["tests/test_limit.py"]) as hunt,
        pytest.raises(RuntimeError, match="fail without any mutant"),
    ):
        hunt.seconds_without_mutant()
