"""``sharedbreaker enforce``: what is decided is done."""

from __future__ import annotations

import click

from sharedbreaker.cli.acts import act, with_reason
from sharedbreaker.cli.circuit_name import name_argument
from sharedbreaker.cli.place import Place, at_a_place


@click.command(short_help="Enforce what is decided again.")
@name_argument
@with_reason
@at_a_place
def enforce(*, place: Place, as_json: bool, name: str, reason: str | None, who: str) -> None:
    """Have what is decided enforced, also where the processes declare to observe.

    To leave it to them again, `tune NAME --clear observe`.

    Exits 0, 5 if Redis could not be asked, 6 if there is no such circuit.
    """
    act(place, name, lambda operator: operator.enforce(reason, who=who), as_json=as_json)
