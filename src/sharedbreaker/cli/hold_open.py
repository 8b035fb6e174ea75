"""``sharedbreaker hold-open``: no call passes until somebody lets go."""

from __future__ import annotations

import click

from sharedbreaker.cli.acts import act, with_reason
from sharedbreaker.cli.circuit_name import name_argument
from sharedbreaker.cli.moments import Duration
from sharedbreaker.cli.place import Place, at_a_place


@click.command("hold-open", short_help="Hold a circuit open: no call passes until it is closed.")
@name_argument
@click.option(
    "--for",
    "seconds",
    type=Duration(),
    help="How long, such as 90, 10m or 2h; then probes decide. Default: until `close`.",
)
@with_reason
@at_a_place
def hold_open(
    *, place: Place, as_json: bool, name: str, seconds: float | None, reason: str | None, who: str
) -> None:
    """Hold a circuit open for the whole fleet: every call is rejected, until `close` or for a time.

    Exits 0, 5 if Redis could not be asked, 6 if there is no such circuit.
    """
    act(place, name, lambda operator: operator.force_open(reason, seconds, who=who), as_json=as_json)
