"""docs/cli.md says what the command line says, and the exit codes that it has."""

from __future__ import annotations

import re

import click
import pytest
from cli_docs import PAGE, with_tables
from verbs import CommandLine
from verbs import command as command

from sharedbreaker.cli.commands import VERBS, sharedbreaker
from sharedbreaker.store.scripts import SCRIPTS, script

TEXT = PAGE.read_text()


def test_the_page_is_up_to_date() -> None:
    """What `make docs` writes is what is there."""
    assert with_tables(TEXT) == TEXT


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_and_option_is_on_the_page(command: CommandLine, verb: click.Command) -> None:
    """`--help` of each verb works, and every option in it is on the page."""
    assert verb.name is not None
    ran = command(verb.name, "--help")

    assert ran.exit_code == 0
    assert f"## `sharedbreaker {verb.name}" in TEXT
    options = re.findall(r"^ +(--[a-z-]+)", ran.out, re.MULTILINE)
    assert options
    for option in set(options) - {"--help"}:
        assert f"`{option}" in TEXT


def test_commands_of_the_page_are_commands() -> None:
    """Every `sharedbreaker VERB` on the page is a verb that there is."""
    named = set(re.findall(r"`sharedbreaker ([a-z-]+)", TEXT))

    assert named == set(sharedbreaker.commands)


def test_the_table_for_the_night_is_done(command: CommandLine) -> None:
    """Every command of the page's first table runs on a circuit of that name."""
    from verbs import breaker_at

    breaker_at(command.url, "orders")
    table = TEXT[TEXT.index("| question |") : TEXT.index("- **For scripts.**")]
    lines = re.findall(r"`sharedbreaker ([^`]+)`", table)

    assert len(lines) >= 9
    for line in lines:
        words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)]
        if words == ["watch"]:
            words += ["--count", "1"]
        ran = command(*words)
        assert ran.exit_code in {0, 4}, (line, ran.err)


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_printed_whole(command: CommandLine, name: str) -> None:
    """`script NAME` prints just what Redis gets, and with --json its digest as well."""
    assert command("script", name).out == script(name).source
    assert command("script", name, "--json").json == {
        "name": name,
        "sha1": script(name).sha,
        "source": script(name).source,
    }


def test_help_names_every_script(command: CommandLine) -> None:
    """The help of `script` lists the scripts that there are."""
    out = " ".join(command("script", "--help").out.split())

    assert f"NAME is one of {', '.join(SCRIPTS)}." in out
