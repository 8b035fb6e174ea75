"""``sharedbreaker forget``: a circuit that nobody needs any more."""

from __future__ import annotations

import click

from sharedbreaker.cli.circuit_name import name_argument
from sharedbreaker.cli.failures import doing
from sharedbreaker.cli.place import Place, at_a_place
from sharedbreaker.cli.printing import print_json


@click.command(short_help="Remove a circuit with its figures and history.")
@name_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Also while calls are in flight: their results are then lost.")
@at_a_place
def forget(*, place: Place, as_json: bool, name: str, yes: bool, force: bool) -> None:
    """Remove a circuit from Redis at once: state, figures, history, tuned settings, and its name in the list.

    Nothing breaks: a process that still calls declares its settings again and starts anew, closed.

    Exits 0, 1 if calls are in flight or it was not confirmed, 5 if Redis could not be asked, 6 if there is no
    such circuit.
    """
    if not yes:
        click.confirm(
            f"Forget {name!r} under the prefix {place.prefix!r}, with its figures and history?",
            abort=True,
            err=True,
        )
    operator = place.operator(name)
    with doing(name):
        operator.forget(force=force)
    if as_json:
        print_json({"name": name, "forgotten": True})
    else:
        click.echo(f"{name}: forgotten")
