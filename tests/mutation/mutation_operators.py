"""What a mutant may change: the table of operators, for both languages and for each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

ADDING = frozenset({"+", "-", "*"})
"""Between two operands only: there is a minus in front of one, too, and a star in a signature."""

DROPPED_WORDS = frozenset({"not"})

SWAPS: Mapping[str, tuple[str, ...]] = {
    "<": ("<=",),
    "<=": ("<",),
    ">": (">=",),
    ">=": (">",),
    "+": ("-",),
    "-": ("+",),
    "*": ("+",),
    "and": ("or",),
    "or": ("and",),
    "min": ("max",),
    "max": ("min",),
    "floor": ("ceil",),
    "ceil": ("floor",),
}

WORDS: Mapping[str, tuple[str, ...]] = {
    "closed": ("open",),
    "open": ("half_open",),
    "half_open": ("closed",),
    "automatic": ("disabled",),
    "held_open": ("automatic",),
    "disabled": ("automatic",),
    "success": ("failure",),
    "failure": ("success",),
    "plain": ("extended",),
    "extended": ("plain",),
    "admitted": ("once",),
    "once": ("admitted",),
    "counted": ("late",),
    "late": ("counted",),
}
"""Texts of the rules: a state, mode, outcome or verdict that is taken for its neighbour."""


class Language(NamedTuple):
    """How a language's text falls into tokens, and what is swapped in it alone."""

    tokens: re.Pattern[str]
    swaps: Mapping[str, tuple[str, ...]]
    statement: re.Pattern[str]
    """The beginning of a call that stands as a statement, up to its parenthesis."""
    nothing: str
    """A statement that does nothing."""


def _tokens(skipped: str, operators: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?P<skipped>{skipped})|(?P<string>'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\")"
        rf"|(?P<number>\b\d+\b)|(?P<word>[A-Za-z_]\w*)|(?P<operator>{operators}|[^\s])"
    )


LANGUAGES: Mapping[str, Language] = {
    "lua": Language(
        _tokens(r"--[^\n]*", r"\.\.|[=~<>]="),
        {"==": ("~=",), "~=": ("==",), "true": ("false",), "false": ("true",)},
        re.compile(r"^[ \t]*(?P<call>(?!return\b|local\b)[\w.]+\()", re.MULTILINE),
        "do end",
    ),
    "py": Language(
        _tokens(r"#[^\n]*|\"\"\"[\s\S]*?\"\"\"|[fr]\"[^\"\n]*\"", r"->|\*\*|//|[=!<>]=|[-+*]="),
        {
            "==": ("!=",),
            "!=": ("==",),
            "is": ("is not",),  # before "not" it stays, and "not" is dropped
            "True": ("False",),
            "False": ("True",),
            "+=": ("-=",),
            "-=": ("+=",),
            "//": ("/",),
            "CLOSED": ("OPEN",),
            "OPEN": ("HALF_OPEN",),
            "HALF_OPEN": ("CLOSED",),
            "AUTOMATIC": ("DISABLED",),
            "HELD_OPEN": ("AUTOMATIC",),
            "DISABLED": ("AUTOMATIC",),
            "SUCCESS": ("FAILURE",),
            "FAILURE": ("SUCCESS",),
        },
        re.compile(r"^[ \t]*(?P<call>(?!return\b|def\b|class\b|raise\b)[\w.]+\()", re.MULTILINE),
        "pass",
    ),
}
