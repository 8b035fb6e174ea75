"""``sharedbreaker show``: one circuit with all its figures and settings."""

from __future__ import annotations

from collections.abc import Iterator

import click
from rich.table import Table

from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.circuit.state import CircuitMode
from sharedbreaker.cli.circuit_name import name_argument
from sharedbreaker.cli.history import history_table
from sharedbreaker.cli.moments import lasting, moment
from sharedbreaker.cli.picture import circuit_dict, failures, state_in_words, style_of, until, why
from sharedbreaker.cli.place import Place, at_a_place
from sharedbreaker.cli.printing import cell, print_json, print_table, table

LATEST_EVENTS = 5
_MOMENTS = {
    "last_state_change": "state since",
    "opened_at": "opened",
    "open_until": "open until",
    "last_failure_time": "last failure",
    "started_at": "first call",
}
_TALLIES = (
    "successful_calls", "failed_calls", "rejected_calls", "ignored_calls", "released_calls", "lost_calls",
    "late_results",
)  # fmt: skip


@click.command(short_help="One circuit with all its figures and settings.")
@name_argument
@at_a_place
def show(*, place: Place, as_json: bool, name: str) -> None:
    """Show one circuit: its state and why, its figures, its settings, and what happened last.

    A setting that was changed by `tune` is marked, with what the processes declare.

    Exits 0, 5 if Redis could not be asked, 6 if there is no such circuit.
    """
    operator = place.operator(name)
    circuit = operator.snapshot()
    latest = operator.history(LATEST_EVENTS)
    if as_json:
        print_json({**circuit_dict(circuit), "latest_events": [event.as_dict() for event in latest]})
        return
    print_table(_picture(circuit))
    click.echo()
    print_table(history_table(reversed(latest)))


def _picture(circuit: Snapshot) -> Table:
    made = table("", "")
    made.show_header = False
    made.add_row("circuit", cell(circuit.name, "bold"))
    made.add_row("state", cell(state_in_words(circuit), style_of(circuit)))
    for what, words in _rows(circuit):
        made.add_row(what, cell(words))
    return made


def _rows(circuit: Snapshot) -> Iterator[tuple[str, str]]:
    if reason := why(circuit):
        yield "held" if circuit.mode is not CircuitMode.AUTOMATIC else "why", reason
    if words := until(circuit):
        yield "until", words
    now = circuit.now_ms / 1000
    for field, what in _MOMENTS.items():
        at = circuit.seconds(field)
        if at is not None:
            apart = f"in {lasting(at - now)}" if at > now else f"{lasting(now - at)} ago"
            yield what, f"{moment(at)} ({apart})"
    yield "failures in a row", failures(circuit)
    yield "calls", str(circuit.total_calls)
    for field in _TALLIES:
        percent = circuit.percent_of(field, circuit.total_calls) if field in _TALLIES[:4] else None
        part = "" if percent is None else f" ({percent:.2f} %)"
        yield f"  {field.removesuffix('_calls').replace('_', ' ')}", f"{circuit.count(field)}{part}"
    yield "in flight", f"{circuit.calls_in_flight}, of them {circuit.probes_in_flight} probes"
    for transition, count in circuit.transitions.items():
        if count:
            yield transition.replace("_", " ").replace("half open", "half-open"), str(count)
    tuned = {setting.field: setting for setting in circuit.tuned}
    for field in Settings().fields():
        mark = f"  tuned; declared: {tuned[field].declared}" if field in tuned else ""
        yield field, circuit.fields.get(field, "?") + mark
    if tuned:
        reason = circuit.fields.get("tuned_reason", "")
        yield "tuned by", circuit.fields.get("tuned_by", "?") + (f": {reason}" if reason else "")
