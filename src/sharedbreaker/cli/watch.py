"""``sharedbreaker watch``: all circuits, live."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.cli import exit_codes
from sharedbreaker.cli.fleet_table import fleet_table
from sharedbreaker.cli.moments import lasting, moment
from sharedbreaker.cli.picture import circuit_dict, state_in_words, why
from sharedbreaker.cli.place import Place, at_a_place
from sharedbreaker.cli.printing import cell, console, on_one_line
from sharedbreaker.cli.status import WORDS, health_of, why_away
from sharedbreaker.store.fleet import FleetView

LONGEST_INTERVAL = 3600.0
_UNREADABLE = "cannot be read"


@click.command(short_help="All circuits, live.")
@click.option(
    "--interval",
    type=click.FloatRange(0.05, LONGEST_INTERVAL),
    default=1.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("--count", type=click.IntRange(1), help="End after so many looks. Default: go on until Ctrl-C.")
@at_a_place
def watch(*, place: Place, as_json: bool, interval: float, count: int | None) -> None:
    """Show all circuits on a terminal, and again every second, until Ctrl-C.

    While Redis is away it says so, over what was seen last, and goes on. Into a pipe it prints a line for
    each circuit, and one for each change; with --json a document on one line for each look.

    Exits 0 after --count, 130 after Ctrl-C.
    """
    fleet = place.fleet()
    looks = itertools.count(1)
    out = console()
    try:
        if as_json or not out.is_terminal:
            show: Callable[[FleetView], None] = _print_as_json if as_json else _Changes().print
            _look_on(fleet.look, show, looks, interval, count)
            return
        screen = _Screen(fleet.address)
        with Live(console=out, auto_refresh=False, vertical_overflow="ellipsis") as live:
            _look_on(
                fleet.look,
                lambda view: live.update(screen.picture(view, out.width), refresh=True),
                looks,
                interval,
                count,
            )
    except KeyboardInterrupt:
        sys.exit(exit_codes.INTERRUPTED)


def _look_on(
    look: Callable[[], FleetView],
    show: Callable[[FleetView], None],
    looks: itertools.count[int],
    interval: float,
    count: int | None,
) -> None:
    for number in looks:
        started = time.monotonic()
        show(look())
        if number == count:
            return
        time.sleep(max(0.0, started + interval - time.monotonic()))


class _Screen:
    """The live table, which stays while Redis is away."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._last: tuple[Snapshot, ...] = ()
        self._away_since: float | None = None

    def picture(self, view: FleetView, width: int) -> RenderableType:
        if view.is_up:
            self._last = view.circuits
            self._away_since = None
        elif self._away_since is None:
            self._away_since = time.monotonic()
        parts: list[RenderableType] = [fleet_table(self._last, width)]
        if self._away_since is not None:
            away = lasting(round(time.monotonic() - self._away_since))
            parts.append(
                cell(
                    f"Redis at {self._address} has been away for {away}, and this is from before: "
                    f"{why_away(view)}",
                    "bold red",
                )
            )
        else:
            parts.extend(
                cell(f"{what!r} cannot be read: {trouble}", "red") for what, trouble in view.troubles.items()
            )
            if not self._last:
                parts.append(Text("no circuits yet"))
        parts.append(cell(f"{moment(time.time())}  Redis at {self._address}  Ctrl-C ends", "dim"))
        return Group(*parts)


class _Changes:
    """Lines for a pipe: one for each circuit that is new, gone or otherwise than before."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def print(self, view: FleetView) -> None:
        seen = {circuit.name: _line_of(circuit) for circuit in view.circuits}
        seen |= {what: f"{_UNREADABLE}: {trouble}" for what, trouble in view.troubles.items()}
        if not view.is_up:
            seen = {**self._seen, "": self._away(why_away(view))}
        for name, line in seen.items():
            if self._seen.get(name) != line:
                self._say(f"{name} {line}" if name else line)
        for name in self._seen.keys() - seen.keys():
            was_trouble = self._seen[name].startswith(_UNREADABLE)
            gone = "is no trouble any more" if was_trouble else "is gone"
            self._say(f"{name} {gone}" if name else "Redis is back")
        self._seen = seen

    def _away(self, why: str) -> str:
        """Return what is said of it: the same as before, while it is the same kind of error."""
        line = f"Redis is away: {why}"
        before = self._seen.get("", "")
        return before if before.split(":")[:2] == line.split(":")[:2] else line

    def _say(self, line: str) -> None:
        click.echo(on_one_line(f"{moment(time.time())} {line}"))
        sys.stdout.flush()


def _line_of(circuit: Snapshot) -> str:
    return " ".join(part for part in (state_in_words(circuit), why(circuit)) if part)


def _print_as_json(view: FleetView) -> None:
    document = {
        "redis_available": view.is_up,
        "status": WORDS[health_of(view.circuits)] if view.is_up else None,
        "circuits": [circuit_dict(circuit) for circuit in view.circuits],
        "unreadable": dict(view.troubles),
    }
    click.echo(json.dumps(document))
    sys.stdout.flush()
