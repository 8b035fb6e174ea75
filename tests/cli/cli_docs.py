"""Writes what docs/cli.md says of each verb and exit code: `make docs`."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import click

from sharedbreaker.cli import exit_codes
from sharedbreaker.cli.commands import VERBS
from sharedbreaker.cli.show import show

_COMMON = {"redis_url", "prefix", "redis_timeout", "as_json"}
PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def with_tables(page: str) -> str:
    """Return the page with its written parts as they should be."""
    for what, text in (("exit codes", _exit_codes()), ("verbs", _verbs())):
        before, begin, rest = page.partition(f"<!-- {what}: written by make docs -->\n")
        _, end, after = rest.partition(f"<!-- end of {what} -->")
        page = before + begin + text + end + after
    return page


def _exit_codes() -> str:
    body = ast.parse(inspect.getsource(exit_codes)).body
    rows = ["| code | meaning |", "|---|---|"]
    for constant, text in pairwise(body):
        if isinstance(constant, ast.Assign) and isinstance(text, ast.Expr):
            assert isinstance(constant.value, ast.Constant)
            assert isinstance(text.value, ast.Constant)
            rows.append(f"| {constant.value.value!r} | {text.value.value!s} |")
    return "\n".join([*rows, ""])


def _verbs() -> str:
    common = [
        "## Options of every verb that asks Redis",
        "",
        *_table([param for param in show.params if param.name in _COMMON], show),
        "",
    ]
    return "\n".join(["\n".join(common), *(_verb(verb) for verb in VERBS)])


def _verb(verb: click.Command) -> str:
    arguments = " ".join(
        str(param.metavar or param.name) for param in verb.params if isinstance(param, click.Argument)
    )
    lines = [f"## `sharedbreaker {verb.name}{' ' + arguments if arguments else ''}`", "", _text(verb), ""]
    own = [param for param in verb.params if not _is_common(param, verb)]
    rows = _table(own, verb)
    return "\n".join([*lines, *rows, *([""] if rows else [])])


def _table(params: Sequence[click.Parameter], verb: click.Command) -> list[str]:
    context = click.Context(verb, info_name=f"sharedbreaker {verb.name}")
    rows = []
    for option in params:
        if isinstance(option, click.Option):
            record = option.get_help_record(context)
            assert record is not None
            options, meaning = (text.replace("|", "\\|") for text in record)
            rows.append(f"| `{options}` | {' '.join(meaning.split())} |")
    return ["| option | |", "|---|---|", *rows] if rows else []


def _is_common(param: click.Parameter, verb: click.Command) -> bool:
    names = {other.name for other in verb.params}
    return names >= _COMMON and param.name in _COMMON


def _text(verb: click.Command) -> str:
    paragraphs = inspect.cleandoc(verb.help or "").split("\n\n")
    return "\n\n".join(_paragraph(paragraph) for paragraph in paragraphs)


def _paragraph(paragraph: str) -> str:
    if not paragraph.startswith("\b\n"):
        return paragraph
    # Lines that are not to be wrapped; those that are set in are to be typed.
    lines = paragraph.splitlines()[1:]
    words = [line for line in lines if not line.startswith("  ")]
    return "\n".join([*words, "", *("  " + line for line in lines if line.startswith("  "))])


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
