"""``sharedbreaker tune``: other settings for the whole fleet, without a deploy."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from sharedbreaker.circuit.errors import SettingsError
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.circuit.tuning import FIELD_OF
from sharedbreaker.cli.acts import with_reason
from sharedbreaker.cli.circuit_name import name_argument
from sharedbreaker.cli.failures import doing, looking_at_what_was_done
from sharedbreaker.cli.moments import seconds_in_words
from sharedbreaker.cli.picture import circuit_dict
from sharedbreaker.cli.place import Place, at_a_place
from sharedbreaker.cli.printing import cell, print_json, print_table, table


class NewSetting(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """A setting and its new value: SETTING=VALUE."""

    name = "setting"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        """Return its name and its value; times in seconds."""
        setting, is_there, words = str(value).partition("=")
        if not is_there or setting not in FIELD_OF:
            self.fail(f"{value!r} is not SETTING=VALUE with one of {', '.join(FIELD_OF)}", param, ctx)
        try:
            # Whole numbers for counts; times also with a unit.
            return setting, int(words) if FIELD_OF[setting] == setting else seconds_in_words(words)
        except ValueError as error:
            self.fail(f"{setting}: {error}", param, ctx)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click asks so
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """Return the settings that begin so."""
        return [CompletionItem(f"{name}=") for name in FIELD_OF if name.startswith(incomplete)]


@click.command(short_help="Change settings for the whole fleet, without a deploy.")
@name_argument
@click.argument("settings", nargs=-1, type=NewSetting(), metavar="[SETTING=VALUE]...")
@click.option(
    "--clear",
    multiple=True,
    type=click.Choice(tuple(FIELD_OF)),
    metavar="SETTING",
    help="Let this setting be as the processes declare it again. May be given more than once.",
)
@click.option("--clear-all", is_flag=True, help="Let all settings be as declared again.")
@with_reason
@at_a_place
def tune(
    *,
    place: Place,
    as_json: bool,
    name: str,
    settings: tuple[tuple[str, float], ...],
    clear: tuple[str, ...],
    clear_all: bool,
    reason: str | None,
    who: str,
) -> None:
    """Change settings of a circuit for every process at once, such as failure_threshold=10 or timeout=2m.

    What is tuned is in force, whatever is deployed meanwhile, until it is cleared. SETTING is one of
    failure_threshold, timeout, success_threshold, half_open_max_calls, probe_timeout, lease_timeout,
    max_timeout, timeout_growth_percent, ramp_up, minimum_reporters, max_in_flight and observe, or one of
    a rate: failure_rate_percent, failure_rate_window, failure_rate_window_calls,
    failure_rate_minimum_calls, the same four of slow_call_rate, and slow_call_duration. 0 turns off what
    may be off. Without any, what is tuned is shown.

    Exits 0, 2 for a setting that makes no sense, 5 if Redis could not be asked, 6 if there is no such
    circuit.
    """
    operator = place.operator(name)
    if clear_all and settings:
        raise SettingsError("--clear-all clears every setting: tune none beside it")
    if clear_all:
        tuned = {setting.field for setting in operator.snapshot().tuned}
        clear = tuple(setting for setting, field in FIELD_OF.items() if field in tuned)
    if not (settings or clear):
        _show(operator.snapshot(), as_json=as_json)
        return
    with doing(name):
        operator.tune(dict(settings), clear=clear, reason=reason, who=who)
    with looking_at_what_was_done(name):
        circuit = operator.snapshot()
    _show(circuit, as_json=as_json)


def _show(circuit: Snapshot, *, as_json: bool) -> None:
    if as_json:
        print_json(circuit_dict(circuit))
    else:
        _print_tuned(circuit)


def _print_tuned(circuit: Snapshot) -> None:
    if not circuit.tuned:
        click.echo(f"{circuit.name}: every setting is as declared")
        return
    made = table("SETTING", "IN FORCE", "DECLARED")
    for setting in circuit.tuned:
        made.add_row(cell(setting.field), cell(setting.in_force), cell(setting.declared))
    print_table(made)
