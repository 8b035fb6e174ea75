"""``sharedbreaker script``: the shipped Lua, as Redis gets it."""

from __future__ import annotations

import click

from sharedbreaker.cli.printing import print_json
from sharedbreaker.store import scripts


@click.command(short_help="Print a script of ours for `redis-cli --eval`.")
@click.argument("name", type=click.Choice(scripts.SCRIPTS), metavar="NAME")
@click.option("--json", "as_json", is_flag=True, help="Print name, source and SHA1 as JSON.")
def script(*, name: str, as_json: bool) -> None:
    """Print one of the Lua scripts whole, as Redis gets it. Asks no Redis.

    \b
    NAME is one of admit, report, control, declare, snapshot, settle, refresh, tune, forget.
    Its first lines say what it takes. For example:
      sharedbreaker script control > control.lua

    Exits 0.
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    lua = scripts.script(name)
    if as_json:
        print_json({"name": lua.name, "sha1": lua.sha, "source": lua.source})
    else:
        click.echo(lua.source, nl=False)
