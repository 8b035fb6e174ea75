"""Manual control: the acts as ``lua/control.lua`` takes them, and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import Enum
from typing import Any, NamedTuple

from sharedbreaker.circuit.errors import SettingsError
from sharedbreaker.circuit.reading import UNDECLARED, texts
from sharedbreaker.circuit.settings import milliseconds_in

REASON_LENGTH = 500
WHO_LENGTH = 128


class Act(str, Enum):
    """What somebody may do to a circuit by hand."""

    FORCE_OPEN = "force_open"
    FORCE_CLOSE = "force_close"
    DISABLE = "disable"
    ENABLE = "enable"

    __str__ = str.__str__


class ControlReading(NamedTuple):
    """What became of a manual act."""

    verdict: str
    transition: str
    unreadable: tuple[str, ...]

    @property
    def is_undeclared(self) -> bool:
        """Whether there is no such circuit yet."""
        return self.verdict == UNDECLARED


def check_control(who: str | None, reason: str | None, seconds: float | timedelta | None) -> None:
    """Raise SettingsError for a reason, a name or a time that makes no sense."""
    for argument, value, longest in (("reason", reason, REASON_LENGTH), ("who", who, WHO_LENGTH)):
        if value is not None and not (isinstance(value, str) and len(value) <= longest):
            raise SettingsError(f"{argument} must be text of at most {longest} characters")
    if seconds is not None:
        milliseconds_in("seconds", seconds)


def control_arguments(
    act: Act,
    who: str,
    reason: str | None,
    seconds: float | timedelta | None,
    request: str,
) -> tuple[str, ...]:
    """Return the script's arguments. ``request`` names this act: it is done once however often sent."""
    hold_ms = "" if seconds is None else str(milliseconds_in("seconds", seconds))
    return act.value, who, reason or "", hold_ms, request


def read_control(reply: Sequence[Any]) -> ControlReading:
    """Return what the script said."""
    verdict, _state, _mode, _epoch, transition, *unreadable = texts(reply, 5)
    return ControlReading(verdict, transition, tuple(unreadable))
