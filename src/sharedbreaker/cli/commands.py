"""The group of all verbs. A new verb is one more line at the end."""

from __future__ import annotations

import click

from sharedbreaker.cli.demo import demo
from sharedbreaker.cli.exporter import exporter
from sharedbreaker.cli.serve import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sharedbreaker", message="%(prog)s %(version)s")
def sharedbreaker() -> None:
    """One circuit breaker for a whole fleet, kept in Redis."""


sharedbreaker.add_command(demo)
sharedbreaker.add_command(exporter)
sharedbreaker.add_command(serve)
