"""The names of a circuit's keys."""

from __future__ import annotations

import os
from typing import NamedTuple

from sharedbreaker.circuit.name import check_name

DEFAULT_PREFIX = "sharedbreaker"
REGISTRY = ":breakers"
PREFIX_VARIABLE = "SHAREDBREAKER_PREFIX"


class Keys(NamedTuple):
    """The keys of one circuit. The braces keep all of them in one slot of a Redis Cluster."""

    circuit: str
    leases: str
    events: str
    batches: str
    registry: str
    """The set of all names under the same prefix; in a slot of its own, so no script touches it."""

    @property
    def changes(self) -> str:
        """The channel on which changes are published where `push` is on."""
        return f"{self.circuit}:changes"

    def circuit_named(self, name: str) -> str:
        """Return the key of another circuit under the same prefix; raise SettingsError for no name."""
        return f"{self.registry.removesuffix(REGISTRY)}:{{{check_name('name', name)}}}"

    @property
    def of_script(self) -> tuple[str, str, str, str]:
        """The keys that every script takes, in its order."""
        return self.circuit, self.leases, self.events, self.batches


def prefix_or_default(prefix: str | None) -> str:
    """Return ``prefix``, else the environment's, else the default; raise SettingsError for no prefix."""
    if prefix is not None:
        return check_name("prefix", prefix)
    return check_name(PREFIX_VARIABLE, os.environ.get(PREFIX_VARIABLE, "").strip() or DEFAULT_PREFIX)


def keys_of(name: str, prefix: str = DEFAULT_PREFIX) -> Keys:
    """Return the keys of the circuit ``name``; raise SettingsError for a name or prefix outside the rule."""
    check_name("name", name)
    circuit = f"{check_name('prefix', prefix)}:{{{name}}}"
    return Keys(
        circuit, f"{circuit}:leases", f"{circuit}:events", f"{circuit}:batches", f"{prefix}{REGISTRY}"
    )
