"""Where the Lua is: inside the wheel, or at the top of a checkout."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

FIRST = "keys_and_clock"
SHARED = ("circuit", "trip_rules", "settings")
SCRIPTS = ("admit", "report", "control", "declare", "snapshot", "settle", "refresh", "tune", "forget")


class Script(NamedTuple):
    """One script as Redis gets it."""

    name: str
    source: str
    sha: str


@cache
def source(name: str) -> str:
    """Return the text of ``lua/NAME.lua``."""
    package = Path(__file__).parents[1]
    for folder in (package / "lua", package.parents[1] / "lua"):
        path = folder / f"{name}.lua"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    # Inside an archive that Python imports from. It takes a while to load, and is seldom needed.
    from importlib.resources import files  # noqa: PLC0415

    return (files("sharedbreaker") / "lua" / f"{name}.lua").read_text(encoding="utf-8")


@cache
def script(name: str) -> Script:
    """Return the script ``name`` with what all share in front of it, and what several do in its place."""
    whole = f"{source(FIRST)}\n{source(name)}"
    for shared in SHARED:
        whole = whole.replace(f"-- {shared}.lua\n", source(shared), 1)
    return Script(name, whole, hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest())
