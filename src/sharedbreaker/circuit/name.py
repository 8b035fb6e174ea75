"""What a circuit may be called."""

from __future__ import annotations

import re

from sharedbreaker.circuit.errors import SettingsError

NAME_LENGTH = 128
NAME_RULE = f"1 to {NAME_LENGTH} of letters, digits and _ - . : /"
_NAME = re.compile(r"[A-Za-z0-9_\-.:/]+")


def check_name(argument: str, value: object) -> str:
    """Return ``value`` if it may name a circuit or a key prefix; raise SettingsError if not.

    The rule keeps braces out of Redis Cluster's hash tags, and quotes, spaces and control
    characters out of labels, logs and shells.
    """
    if isinstance(value, str) and len(value) <= NAME_LENGTH and _NAME.fullmatch(value):
        return value
    raise SettingsError(f"{argument} must be {NAME_RULE}, not {value!r}")
