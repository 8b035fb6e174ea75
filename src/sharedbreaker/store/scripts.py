"""Where the Lua is: inside the wheel, or at the top of a checkout."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

SHARED = "circuit"
SCRIPTS = ("admit", "report", "control", "declare", "snapshot", "settle")


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
    """Return the script ``name`` with what all scripts share in front of it."""
    whole = f"{source(SHARED)}\n{source(name)}"
    return Script(name, whole, hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest())
