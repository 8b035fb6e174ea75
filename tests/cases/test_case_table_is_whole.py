"""The page of the cases is what their tests say now, and every case has its test."""

from __future__ import annotations

from case_table import PAGE, case_tests, cases, page


def test_page_is_as_written() -> None:
    """README.md in this folder is what `make docs` writes."""
    assert PAGE.read_text() == page(cases(), case_tests())


def test_every_case_has_a_test() -> None:
    """No case of the list is without a test that is named after it."""
    tested = {test.case for test in case_tests()}

    assert [case for category in cases().values() for case in category if case not in tested] == []
