"""The name of a circuit as an argument, which the shell completes from the list in Redis."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from sharedbreaker.circuit.errors import SettingsError
from sharedbreaker.circuit.name import check_name
from sharedbreaker.cli.place import Place
from sharedbreaker.store.keys import prefix_or_default

SECONDS_TO_COMPLETE = 0.5


class CircuitName(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """A circuit's name."""

    name = "name"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it if a circuit may be called so."""
        try:
            return check_name("NAME", value)
        except SettingsError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click asks so
        incomplete: str,
    ) -> list[CompletionItem]:
        """Return the names that begin so; none where Redis does not answer at once."""
        try:
            prefix = prefix_or_default(ctx.params.get("prefix"))
            place = Place(ctx.params.get("redis_url"), prefix, SECONDS_TO_COMPLETE)
            circuits = place.fleet().look().circuits
        except SettingsError:
            return []
        return [
            CompletionItem(circuit.name, help=circuit.state.value)
            for circuit in circuits
            if circuit.name.startswith(incomplete)
        ]


name_argument = click.argument("name", type=CircuitName(), metavar="NAME")
