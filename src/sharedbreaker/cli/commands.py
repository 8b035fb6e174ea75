"""The group of all verbs. A new verb is one more line in `VERBS`."""

from __future__ import annotations

import click

from sharedbreaker.cli.close import close
from sharedbreaker.cli.demo import demo
from sharedbreaker.cli.disable import disable
from sharedbreaker.cli.doctor import doctor
from sharedbreaker.cli.enable import enable
from sharedbreaker.cli.enforce import enforce
from sharedbreaker.cli.exporter import exporter
from sharedbreaker.cli.forget import forget
from sharedbreaker.cli.history import history
from sharedbreaker.cli.hold_open import hold_open
from sharedbreaker.cli.observe import observe
from sharedbreaker.cli.script import script
from sharedbreaker.cli.serve import serve
from sharedbreaker.cli.show import show
from sharedbreaker.cli.status import status
from sharedbreaker.cli.tune import tune
from sharedbreaker.cli.watch import watch


class _InTheirOrder(click.Group):
    """Lists the verbs as they are used, and not by the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click asks so
        return list(self.commands)


@click.group(cls=_InTheirOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sharedbreaker", message="%(prog)s %(version)s")
def sharedbreaker() -> None:
    """One circuit breaker for a whole fleet, kept in Redis."""


VERBS = (
    status,
    watch,
    show,
    history,
    hold_open,
    close,
    disable,
    enable,
    observe,
    enforce,
    tune,
    forget,
    doctor,
    exporter,
    serve,
    script,
    demo,
)
for verb in VERBS:
    sharedbreaker.add_command(verb)
