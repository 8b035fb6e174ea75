"""``sharedbreaker enable``: ends ``disable``."""

from __future__ import annotations

import click

from sharedbreaker.cli.acts import act, with_reason
from sharedbreaker.cli.circuit_name import name_argument
from sharedbreaker.cli.place import Place, at_a_place


@click.command(short_help="End `disable`.")
@name_argument
@with_reason
@at_a_place
def enable(*, place: Place, as_json: bool, name: str, reason: str | None, who: str) -> None:
    """End `disable`. Changes nothing about a circuit that is not disabled.

    Exits 0, 5 if Redis could not be asked, 6 if there is no such circuit.
    """
    act(place, name, lambda operator: operator.enable(reason, who=who), as_json=as_json)
