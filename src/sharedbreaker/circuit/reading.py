"""Reading what scripts answer: flat lists of whole numbers and text, as bytes or str."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

UNDECLARED = "undeclared"


def text(value: Any) -> str:
    """Return one value of a reply as text, whichever way the client decodes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def texts(reply: Sequence[Any], at_least: int) -> list[str]:
    """Return a reply as text; raise ValueError where it is shorter than the script promises."""
    if not isinstance(reply, (list, tuple)) or len(reply) < at_least:
        raise ValueError(f"a reply of {at_least} parts was expected, not {reply!r}")
    return [text(value) for value in reply]
