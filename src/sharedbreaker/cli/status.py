"""``sharedbreaker status``: all circuits at one glance, and an exit code for scripts."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.circuit.state import CircuitState
from sharedbreaker.cli import exit_codes
from sharedbreaker.cli.circuit_name import CircuitName
from sharedbreaker.cli.failures import WHERE_TO_LOOK, fail
from sharedbreaker.cli.fleet_table import fleet_table
from sharedbreaker.cli.picture import circuit_dict
from sharedbreaker.cli.place import Place, at_a_place
from sharedbreaker.cli.printing import console, on_one_line, print_json, print_table
from sharedbreaker.store.fleet import FleetView

WORDS = {exit_codes.OK: "healthy", exit_codes.DEGRADED: "degraded", exit_codes.FAILING: "failing"}


@click.command(short_help="All circuits at one glance; the exit code tells how they are.")
@click.argument("names", nargs=-1, type=CircuitName(), metavar="[NAME]...")
@at_a_place
def status(*, place: Place, as_json: bool, names: tuple[str, ...]) -> None:
    """Show all circuits, or those that are named.

    They are found by the list in Redis, also those of processes that are gone.

    Exits 0 if all of them are closed, 3 if one is half-open and none is open, 4 if one is open, 5 if Redis
    could not be asked, 6 if a name is not there, and 1 if all that could be read is closed, but not all could
    be read.
    """
    fleet = place.fleet()
    view = fleet.look()
    if not view.is_up:
        fail(_away(fleet.address, view), exit_codes.REDIS_AWAY, as_json=as_json)
    there = {circuit.name: circuit for circuit in view.circuits}
    absent = [name for name in names if name not in there and name not in view.troubles]
    if absent:
        fail(
            f"there is no circuit {absent[0]!r} under the prefix {place.prefix!r} in Redis at "
            f"{fleet.address}",
            exit_codes.NO_SUCH_CIRCUIT,
            as_json=as_json,
        )
    circuits = [circuit for name, circuit in there.items() if not names or name in names]
    troubles = {what: why for what, why in view.troubles.items() if not names or what in names}
    health = health_of(circuits)
    if as_json:
        print_json(
            {
                "status": WORDS[health],
                "redis": fleet.address,
                "prefix": place.prefix,
                "circuits": [circuit_dict(circuit) for circuit in circuits],
                "unreadable": troubles,
            }
        )
    elif circuits:
        print_table(fleet_table(circuits, console().width))
    elif not troubles:
        click.echo(
            f"no circuits yet under the prefix {place.prefix!r} in Redis at {fleet.address}: one is there "
            "from its first call on",
            err=True,
        )
    for what, trouble in troubles.items():
        click.echo(f"sharedbreaker: {on_one_line(f'{what!r} cannot be read: {trouble}')}", err=True)
    sys.exit(exit_codes.FAILED if troubles and health == exit_codes.OK else health)


def health_of(circuits: Sequence[Snapshot]) -> int:
    """Return the exit code that tells how they are."""
    states = {circuit.state for circuit in circuits}
    if CircuitState.OPEN in states:
        return exit_codes.FAILING
    return exit_codes.DEGRADED if CircuitState.HALF_OPEN in states else exit_codes.OK


def why_away(view: FleetView) -> str:
    """Return what Redis did not answer with."""
    return next(iter(view.troubles.values()), "no reason is known").rstrip(".")


def _away(address: str, view: FleetView) -> str:
    return (
        f"Redis at {address} could not be asked: {why_away(view)}; the circuits work on without it, each "
        f"process by itself; {WHERE_TO_LOOK}"
    )
