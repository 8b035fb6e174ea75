"""``sharedbreaker disable``: every call passes."""

from __future__ import annotations

import click

from sharedbreaker.cli.acts import act, with_reason
from sharedbreaker.cli.circuit_name import name_argument
from sharedbreaker.cli.place import Place, at_a_place


@click.command(short_help="Let every call pass, whatever fails.")
@name_argument
@with_reason
@at_a_place
def disable(*, place: Place, as_json: bool, name: str, reason: str | None, who: str) -> None:
    """Let every call pass, whatever fails, until `enable`. Calls are tallied.

    Exits 0, 5 if Redis could not be asked, 6 if there is no such circuit.
    """
    act(place, name, lambda operator: operator.disable(reason, who=who), as_json=as_json)
