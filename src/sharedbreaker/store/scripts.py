"""Where the Lua is: inside the wheel, or at the top of a checkout."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

FIRST = "keys_and_clock"
SHARED = "circuit"
PLACE_OF_SHARED = f"-- {SHARED}.lua\n"
SCRIPTS = ("admit", "report", "control", "declare", "snapshot", "settle", "refresh", "tune", "forget")


@dataclass(frozen=True)
class Script:
    """One script as Redis gets it."""

    name: str
    source: str
    sha: str


@cache
def source(name: str) -> str:
    """Return the text of ``lua/NAME.lua``."""
    shipped = files("sharedbreaker") / "lua" / f"{name}.lua"
    if shipped.is_file():
        return shipped.read_text(encoding="utf-8")
    checkout = Path(__file__).parents[3] / "lua" / f"{name}.lua"
    return checkout.read_text(encoding="utf-8")


@cache
def script(name: str) -> Script:
    """Return the script ``name`` with what all scripts share in front of it and in its place."""
    own = source(name)
    if PLACE_OF_SHARED not in own:
        own = f"{PLACE_OF_SHARED}{own}"
    whole = f"{source(FIRST)}\n{own.replace(PLACE_OF_SHARED, source(SHARED), 1)}"
    return Script(name, whole, hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest())
