"""The table of the cases is made of what their tests say."""

from __future__ import annotations

from pathlib import Path

import pytest
from case_table import CaseTest, case_tests, cases, page

LISTED = {"half-open": {"SB-001": "A | B", "SB-002": "Two"}, "counting": {"SB-016": "Sixteen"}}
TEXT = '''
def test_sb001_first_half():
    """It must hold.

    More of it.
    """

class TestSecond:
    async def test_sb001_second_half(self):
        """It must hold as well.

        Failed at first: the | was
        lost.
        """

def test_peer_column():
    """Peers do not do it."""

def test_of_something_else(): ...
def helper(): ...
'''


def read(text: str, folder: Path) -> list[CaseTest]:
    (folder / "test_case_half_open.py").write_text(text)
    return case_tests(folder)


def test_tests_are_found_by_their_names(tmp_path: Path) -> None:
    """Functions and methods, async or not, that are named after a case or a peer; and what they say."""
    first, peer, second = read(TEXT, tmp_path)

    assert (first.case, first.promise, first.fault) == ("SB-001", "It must hold.", "")
    assert (second.case, second.fault) == ("SB-001", "the | was lost.")
    assert (peer.case, peer.name) == (None, "test_peer_column")


def test_page_has_a_row_for_each_case(tmp_path: Path) -> None:
    """Each case has its title, its tests with their file, and what was wrong; one without tests has none."""
    rows = page(LISTED, read(TEXT, tmp_path)).splitlines()

    links = [f"[`test_sb001_{half}_half`](test_case_half_open.py)" for half in ("first", "second")]
    assert f"| SB-001 | A \\| B | {'<br>'.join(links)} | the \\| was lost. |" in rows
    assert "| SB-002 | Two |  | no |" in rows
    assert "| Peers do not do it. | [`test_peer_column`](test_case_half_open.py) | no |" in rows
    assert "3 cases, 2 tests. 1 cases found a fault here: SB-001." in rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def test_sb001_it(): ...", "does not say what must hold"),
        ('def test_sb001_it():\n    "It failed at first: so."', "in a last paragraph"),
        (
            'def test_sb001_it():\n    """It.\n\n    Failed at first: so.\n\n    More."""',
            "in a last paragraph",
        ),
        ('def test_sb999_it():\n    "It."', "does not list"),
    ],
)
def test_tests_that_tell_nothing_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """A test without a docstring, with a fault where nobody finds it, or of no case fails the making."""
    with pytest.raises(ValueError, match=message):
        page(LISTED, read(text, tmp_path))


def test_case_ids_are_unique() -> None:
    """No case is listed in two categories."""
    ids = [case for category in cases().values() for case in category]

    assert len(ids) == len(set(ids)) == 96
