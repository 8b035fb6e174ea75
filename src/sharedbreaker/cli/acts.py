"""What the verbs that take a circuit in hand have in common."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable
from typing import Any

import click

from sharedbreaker.circuit.control import REASON_LENGTH, WHO_LENGTH
from sharedbreaker.cli.failures import doing, looking_at_what_was_done
from sharedbreaker.cli.picture import circuit_dict, state_in_words, until
from sharedbreaker.cli.place import Place
from sharedbreaker.cli.printing import on_one_line, print_json
from sharedbreaker.operator import Operator


def who_asks() -> str:
    """Return who sits here, for the events: login and host."""
    try:
        login = getpass.getuser()
    except (KeyError, OSError):  # a container's user often has no name
        login = str(os.getuid()) if hasattr(os, "getuid") else "somebody"
    return f"{login}@{socket.gethostname()}"[:WHO_LENGTH]


def with_reason(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the options that say who asks, and why."""
    reason: Any = click.option(
        "--reason", metavar="TEXT", help=f"Why, for whoever looks later. At most {REASON_LENGTH} letters."
    )
    who: Any = click.option(
        "--who", metavar="TEXT", default=who_asks, show_default="your login and this host", help="Who asks."
    )
    made: Callable[..., None] = reason(who(verb))
    return made


def act(place: Place, name: str, do: Callable[[Operator], object], *, as_json: bool) -> None:
    """Do something to a circuit, and show what it is now."""
    operator = place.operator(name)
    with doing(name):
        do(operator)
    with looking_at_what_was_done(name):
        circuit = operator.snapshot()
    if as_json:
        print_json(circuit_dict(circuit))
        return
    words = until(circuit)
    click.echo(on_one_line(f"{name}: {state_in_words(circuit)}" + (f", until: {words}" if words else "")))
