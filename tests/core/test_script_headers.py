"""The header of every script in lua/ says what its body takes: the same names, in the same order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from sharedbreaker.store.scripts import FIRST, SCRIPTS, SHARED, script, source

pytestmark = pytest.mark.sync_only("the scripts are spoken to by hand")

LUA = Path(__file__).parents[2] / "lua"
SLOT = re.compile(r"-- (KEYS|ARGV)\[(\d+)(\.\.)?\] (\w+)( |$)")
LOCAL = re.compile(r"local (\w+) = (?:tonumber\()?(KEYS|ARGV)\[(\d+)\]\)?")
USE = re.compile(r"\b(KEYS|ARGV)\b")


@dataclass
class Text:
    """One script: the comment lines at its top, and what follows."""

    header: list[str]
    body: list[str]


def text_of(name: str) -> Text:
    lines = source(name).splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("--"))
    return Text(lines[:end], [line for line in lines[end:] if not line.lstrip().startswith("--")])


def slots_in(header: list[str], table: str) -> list[tuple[int, str, bool]]:
    """Number, name and openness of each slot that the header names."""
    found = [SLOT.match(line) for line in header]
    return [(int(slot[2]), slot[4], bool(slot[3])) for slot in found if slot and slot[1] == table]


def locals_in(body: list[str], table: str) -> list[tuple[int, str]]:
    """Number and local of each slot that the body gives a name."""
    found = [LOCAL.fullmatch(line) for line in body]
    return [(int(local[3]), local[1]) for local in found if local and local[2] == table]


def test_every_file_in_lua_is_a_known_script() -> None:
    """The folder holds the scripts that the package loads and what they share, and nothing else."""
    assert sorted(path.stem for path in LUA.glob("*.lua")) == sorted((*SCRIPTS, FIRST, *SHARED))


@pytest.mark.parametrize("name", [*SCRIPTS, FIRST, *SHARED])
def test_first_line_says_what_the_script_is(name: str) -> None:
    """A header begins with the script's name and a question or a sentence."""
    assert re.match(rf"-- {name}: \S", text_of(name).header[0])


@pytest.mark.parametrize("name", [*SCRIPTS, FIRST, *SHARED])
@pytest.mark.parametrize("word", ["returns", "upholds"])
def test_header_says_what_comes_out(name: str, word: str) -> None:
    """A header tells what the script returns and what it upholds."""
    assert [line for line in text_of(name).header if re.match(rf"-- {word}:? \S", line)]


@pytest.mark.parametrize("name", SCRIPTS)
def test_arguments_are_named_in_the_body_as_in_the_header(name: str) -> None:
    """The body's first locals are the header's arguments, in its order, and slots have no gap."""
    text = text_of(name)
    slots = slots_in(text.header, "ARGV")
    fixed = [(number, argument) for number, argument, is_open in slots if not is_open]

    assert [number for number, _, _ in slots] == list(range(1, len(slots) + 1))
    assert not any(is_open for _, _, is_open in slots[:-1])
    assert locals_in(text.body, "ARGV") == fixed
    code = [line for line in text.body if line]
    assert [LOCAL.fullmatch(line) is not None for line in code[: len(fixed)]] == [True] * len(fixed)


@pytest.mark.parametrize("name", SCRIPTS)
def test_body_takes_no_argument_past_its_local(name: str) -> None:
    """Beyond the locals at its top, a body uses ARGV only for the open end that its header names."""
    text = text_of(name)
    rest = [line for line in text.body if not LOCAL.fullmatch(line) and USE.search(line)]
    open_ended = [number for number, _, is_open in slots_in(text.header, "ARGV") if is_open]

    uses = [use for line in rest for use in re.findall(r"#?ARGV(?:\[[^]]*\])?", line)]
    if not open_ended:
        assert uses == []
    assert all(use == "#ARGV" or re.fullmatch(r"ARGV\[slot( \+ 1)?\]", use) for use in uses)
    for first in open_ended:
        assert any(re.search(rf"for slot = {first}, #ARGV", line) for line in rest)


@pytest.mark.parametrize("name", SCRIPTS)
def test_keys_are_those_that_every_script_knows(name: str) -> None:
    """Every script's header names the keys that keys_and_clock.lua gives names, in its order."""
    keys = [(number, key) for number, key, _ in slots_in(text_of(name).header, "KEYS")]

    assert keys == locals_in(text_of(FIRST).body, "KEYS")


def test_what_stands_first_names_its_own_keys() -> None:
    """keys_and_clock.lua's header and body name the same keys, and it takes no argument."""
    text = text_of(FIRST)

    assert [(number, key) for number, key, _ in slots_in(text.header, "KEYS")] == locals_in(text.body, "KEYS")
    assert not any("ARGV" in line for line in text.body)


@pytest.mark.parametrize("name", [*SCRIPTS, FIRST, *SHARED])
def test_body_uses_no_key_by_its_number(name: str) -> None:
    """KEYS[n] stands in keys_and_clock.lua's locals only; a walk over all keys is allowed."""
    lines = [line for line in text_of(name).body if "KEYS" in line and not LOCAL.fullmatch(line)]

    assert not any(re.search(r"KEYS\[", line) for line in lines)


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_script_holds_what_it_shares_once(name: str) -> None:
    """Keys and clock stand first, and what scripts share stands in its place, each of them once."""
    whole = script(name).source

    assert whole.startswith(source(FIRST))
    assert [whole.count(source(part)) for part in (FIRST, SHARED[0])] == [1, 1]
    assert all(whole.count(source(part)) == (f"-- {part}.lua" in source(name)) for part in SHARED)


@pytest.mark.parametrize("name", [*SCRIPTS, *SHARED])
def test_names_of_keys_and_time_come_from_one_place(name: str) -> None:
    """Only keys_and_clock.lua reads the clock."""
    assert not any("'TIME'" in line for line in text_of(name).body)
