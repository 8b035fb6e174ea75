"""The list of names in Redis: how a name leaves it, while its circuit may be on another master."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sharedbreaker.circuit.errors import SettingsError
from sharedbreaker.circuit.reading import text
from sharedbreaker.store.keys import Keys
from sharedbreaker.store.steps import Steps

SAMPLE = 3
Ask = Callable[[tuple[str | int, ...]], Steps[Any]]


def drop_names_that_are_gone(keys: Keys, ask: Ask) -> Steps[None]:
    """Look at a few names of the list, whichever, and drop those whose circuit has expired.

    Whoever puts a name on the list does this, so that the list cannot outgrow the circuits that are there.
    """
    names = yield from ask(("SRANDMEMBER", keys.registry, SAMPLE))
    for name in map(text, names):
        try:
            circuit = keys.circuit_named(name)
        except SettingsError:
            continue
        if not (yield from ask(("EXISTS", circuit))):
            yield from drop_name(keys.registry, name, circuit, ask)


def drop_name(registry: str, name: str, circuit: str, ask: Ask) -> Steps[bool]:
    """Take a name off the list unless its circuit is there; return whether it was on it."""
    was_listed = yield from ask(("SREM", registry, name))
    # A call may have made the circuit anew, and listed it just before: what is made later is listed later.
    if (yield from ask(("EXISTS", circuit))):
        yield from ask(("SADD", registry, name))
    return bool(was_listed)
