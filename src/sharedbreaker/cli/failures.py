"""What could not be done, told in one line on stderr, on demand as JSON as well, and by an exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from sharedbreaker.circuit.errors import (
    CircuitBusyError,
    CircuitUnusableError,
    NoSuchCircuitError,
    SettingsError,
    StoreError,
)
from sharedbreaker.cli import exit_codes
from sharedbreaker.cli.printing import on_one_line, print_json

WORDS = {
    exit_codes.FAILED: "failed",
    exit_codes.USAGE: "usage",
    exit_codes.REDIS_AWAY: "redis_away",
    exit_codes.NO_SUCH_CIRCUIT: "no_such_circuit",
}
"""`error` in the JSON."""


@contextmanager
def told(*, as_json: bool) -> Iterator[None]:
    """Turn what goes wrong inside into a message and an exit, without a traceback."""
    try:
        yield
    except SettingsError as error:
        fail(str(error), exit_codes.USAGE, as_json=as_json)
    except NoSuchCircuitError as error:
        fail(str(error), exit_codes.NO_SUCH_CIRCUIT, as_json=as_json)
    except (CircuitBusyError, CircuitUnusableError) as error:
        fail(str(error), exit_codes.FAILED, as_json=as_json)
    except StoreError as error:
        fail(str(error), exit_codes.REDIS_AWAY, as_json=as_json)


def fail(message: str, exit_code: int, *, as_json: bool) -> NoReturn:
    """Say what could not be done, and exit."""
    if as_json:
        print_json({"error": WORDS[exit_code], "message": message})
    click.echo(f"sharedbreaker: {on_one_line(message)}", err=True)
    sys.exit(exit_code)
