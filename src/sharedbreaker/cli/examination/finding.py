"""One thing that was looked at, how it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(str, Enum):
    """How a thing is, from well to broken."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing, and nothing to be done at once."""
    UNKNOWN = "unknown"
    """It could not be looked at."""
    WARNING = "warning"
    """It works, and will hurt some day."""
    FAILURE = "failure"
    """It does not work."""

    __str__ = str.__str__


@dataclass(frozen=True)
class Finding:
    """What one look found."""

    check: str
    verdict: Verdict
    what: str
    advice: str = ""
    """What to do about it; empty where nothing is to be done."""
