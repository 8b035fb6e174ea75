"""Printing what comes from outside: on any terminal, narrow or without unicode, and into a pipe."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_OF_NO_TERMINAL = 100_000
REPLACEMENT = "\ufffd"


def console() -> Console:
    """Return what prints on stdout: in colours and the terminal's width; in a pipe in neither."""
    # A name or a reason may have letters that this terminal does not.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    made = Console(highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made = Console(highlight=False, markup=False, emoji=False, width=WIDTH_OF_NO_TERMINAL)
    return made


def on_one_line(text: str) -> str:
    """Return text from outside as a terminal may have it: no line breaks, no control characters."""
    return "".join(letter if letter.isprintable() else REPLACEMENT for letter in text)


def cell(text: str, style: str = "") -> Text:
    """Return text from outside for a table, exactly as it is: it is no markup."""
    return Text(on_one_line(text), style=style)


def table(*headings: str) -> Table:
    """Return an empty table with these headings, which fits a narrow terminal by folding its cells."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made


def print_table(shown: Table) -> None:
    """Print a table. In a pipe it has no colours, no rules, and no spaces at the ends of lines."""
    out = console()
    if out.is_terminal:
        out.print(shown)
        return
    shown.box = None
    with out.capture() as captured:
        out.print(shown)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def print_json(value: Any) -> None:
    """Print one JSON document, in ASCII, on lines of its own."""
    click.echo(json.dumps(value, indent=2))
