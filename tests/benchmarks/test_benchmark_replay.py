"""Scripts that are sent again are as new to the server as those of a breaker."""

from __future__ import annotations

from itertools import islice

import hiredis
import pytest

from benchmarks.replay import Recording
from benchmarks.scenario import SkippedSubjectError


def repeated(calls: list[list[tuple[str, ...]]], times: int) -> list[list[list[str]]]:
    """The words of so many repetitions."""
    found = []
    for call in islice(Recording(calls).repetitions(), times):
        words = []
        for command in call:
            reader = hiredis.Reader(encoding="utf-8")
            reader.feed(command)
            words.append(reader.gets())
        found.append(words)
    return found


def test_tokens_count_on_and_stay_the_same_within_a_call() -> None:
    """Each repetition has a token of its own, which its report has too."""
    calls: list[list[tuple[str, ...]]] = [
        [("EVALSHA", "a", f"cafe{number:08x}", "host:1"), ("EVALSHA", "b", f"cafe{number:08x}", "success")]
        for number in (0x1FF, 0x200)
    ]
    first, second = repeated(calls, 2)
    tokens = {first[0][2], second[0][2]}

    assert len(tokens) == 2
    assert not tokens & {call[0][2] for call in calls}
    assert all(len(token) == len("cafe00000200") for token in tokens)
    for repetition in (first, second):
        assert repetition[0][2] == repetition[1][2]
        assert [repetition[0][3], repetition[1][3]] == ["host:1", "success"]


def test_what_names_the_one_before_names_it_again() -> None:
    """A batch that says which batch came before it says so in each repetition."""
    calls: list[list[tuple[str, ...]]] = [
        [("EVALSHA", "a", f"cafe{number:08x}", f"cafe{number - 3:08x}")] for number in (4, 7)
    ]
    first, second = repeated(calls, 2)

    assert second[0][3] == first[0][2]


def test_calls_that_differ_in_their_scripts_are_not_repeated() -> None:
    """What cannot be made the same each time is left out, and says why."""
    with pytest.raises(SkippedSubjectError, match="same scripts"):
        Recording([[("EVALSHA", "a", "1")], []])
