"""``sharedbreaker history``: what happened to a circuit, and who did it."""

from __future__ import annotations

from collections.abc import Iterable

import click
from rich.table import Table

from sharedbreaker.circuit.history import Event
from sharedbreaker.cli.circuit_name import name_argument
from sharedbreaker.cli.moments import moment
from sharedbreaker.cli.place import Place, at_a_place
from sharedbreaker.cli.printing import cell, print_json, print_table, table
from sharedbreaker.operator import MOST_EVENTS


@click.command(short_help="What happened to a circuit, when, why and by whom.")
@name_argument
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_EVENTS),
    default=20,
    show_default=True,
    help="How many events to show: the latest.",
)
@at_a_place
def history(*, place: Place, as_json: bool, name: str, limit: int) -> None:
    """Show the latest transitions, manual acts and changes of settings, the latest last.

    Exits 0, 5 if Redis could not be asked, 6 if there is no such circuit.
    """
    events = place.operator(name).history(limit)[::-1]
    if as_json:
        print_json([event.as_dict() for event in events])
    else:
        print_table(history_table(events))


def history_table(events: Iterable[Event]) -> Table:
    """Return one line an event, in their order."""
    made = table("WHEN", "WHAT", "WHY", "WHO", "DETAILS")
    for event in events:
        what = f"{event.before} -> {event.after}" if event.is_transition else event.after
        details = [part for part in (event.reason, event.exception) if part]
        details += [
            f"{name}={value}" if name != "settings" else value for name, value in event.details.items()
        ]
        style = "bold" if event.is_transition else ""
        made.add_row(
            moment(event.at),
            cell(what.replace("half_open", "half-open"), style),
            cell(event.why),
            cell(event.who),
            cell(", ".join(details)),
        )
    return made
