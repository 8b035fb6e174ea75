"""``sharedbreaker observe``: what would happen, and nothing of it."""

from __future__ import annotations

import click

from sharedbreaker.cli.acts import act, with_reason
from sharedbreaker.cli.circuit_name import name_argument
from sharedbreaker.cli.place import Place, at_a_place


@click.command(short_help="Decide and count, and reject nothing.")
@name_argument
@with_reason
@at_a_place
def observe(*, place: Place, as_json: bool, name: str, reason: str | None, who: str) -> None:
    """Decide, count and tell everything, and reject nothing, until `enforce`.

    Calls that would be rejected run, and are counted as such. What is held open by hand rejects all the same.
    It is a tuned setting, in force whatever is deployed meanwhile.

    Exits 0, 5 if Redis could not be asked, 6 if there is no such circuit.
    """
    act(place, name, lambda operator: operator.observe(reason, who=who), as_json=as_json)
