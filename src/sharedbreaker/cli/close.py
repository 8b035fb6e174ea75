"""``sharedbreaker close``: the circuit decides by itself again, from closed."""

from __future__ import annotations

import click

from sharedbreaker.cli.acts import act, with_reason
from sharedbreaker.cli.circuit_name import name_argument
from sharedbreaker.cli.place import Place, at_a_place


@click.command(short_help="Close a circuit, and let it decide by itself again.")
@name_argument
@with_reason
@at_a_place
def close(*, place: Place, as_json: bool, name: str, reason: str | None, who: str) -> None:
    """Close a circuit for the whole fleet, also one that is held open, and let it decide by itself again.

    Exits 0, 5 if Redis could not be asked, 6 if there is no such circuit.
    """
    act(place, name, lambda operator: operator.force_close(reason, who=who), as_json=as_json)
