"""Forgetting a circuit: what ``lua/forget.lua`` takes and answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sharedbreaker.circuit.reading import UNDECLARED, texts


class ForgetReading(NamedTuple):
    """What became of forgetting a circuit."""

    verdict: str
    calls_in_flight: int

    @property
    def is_busy(self) -> bool:
        """Whether nothing was done, since calls are in flight."""
        return self.verdict == "busy"

    @property
    def is_undeclared(self) -> bool:
        """Whether there was no such circuit."""
        return self.verdict == UNDECLARED


def forget_arguments(*, force: bool) -> tuple[str, ...]:
    """Return the script's arguments. ``force`` forgets also while calls are in flight."""
    return ("1" if force else "0",)


def read_forget(reply: Sequence[Any]) -> ForgetReading:
    """Return what the script said."""
    verdict, calls_in_flight, *_ = texts(reply, 2)
    return ForgetReading(verdict, int(calls_in_flight))
