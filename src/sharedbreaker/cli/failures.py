"""What could not be done, told in one line on stderr, on demand as JSON as well, and by an exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sharedbreaker.circuit.errors import (
    CircuitBusyError,
    CircuitUnusableError,
    NoSuchCircuitError,
    SettingsError,
    StoreError,
)
from sharedbreaker.cli import exit_codes
from sharedbreaker.cli.printing import on_one_line, print_json

WHERE_TO_LOOK = "look at Redis, --redis and SHAREDBREAKER_REDIS_URL"
WORDS = {
    exit_codes.FAILED: "failed",
    exit_codes.USAGE: "usage",
    exit_codes.REDIS_AWAY: "redis_away",
    exit_codes.NO_SUCH_CIRCUIT: "no_such_circuit",
    exit_codes.INTERRUPTED: "interrupted",
}
"""`error` in the JSON."""
_CONNECTING = "connecting to"
"""How redis-py speaks of a connection that was not made, so that nothing was sent."""


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
        fail(f"{str(error).rstrip('.')}; {WHERE_TO_LOOK}", exit_codes.REDIS_AWAY, as_json=as_json)
    except click.Abort as abort:
        if not isinstance(abort.__context__, KeyboardInterrupt):
            fail(
                "nothing was done: it was not confirmed; --yes does not ask",
                exit_codes.FAILED,
                as_json=as_json,
            )
        fail("interrupted", exit_codes.INTERRUPTED, as_json=as_json)
    except KeyboardInterrupt as interruption:
        why = "".join(f"; {word}" for word in interruption.args)
        fail(f"interrupted{why}", exit_codes.INTERRUPTED, as_json=as_json)


@contextmanager
def doing(name: str) -> Iterator[None]:
    """Say that an act may have been done all the same, where no answer to it came or nobody waited for it.

    A server that hangs may still do what it was sent.
    """
    try:
        yield
    except StoreError as error:
        cause = error.__cause__
        if isinstance(cause, AuthenticationError) or _CONNECTING in str(cause):
            raise
        if isinstance(cause, (RedisConnectionError, RedisTimeoutError)):
            raise type(error)(f"{str(error).rstrip('.')}; {_maybe_done(name)}") from error
        raise
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_maybe_done(name)) from None


@contextmanager
def looking_at_what_was_done(name: str) -> Iterator[None]:
    """Say that an act was done, where it cannot be shown any more."""
    try:
        yield
    except StoreError as error:
        raise type(error)(f"it was done, but {str(error).rstrip('.')}; {_see(name)}") from error


def _maybe_done(name: str) -> str:
    return f"it may have been done, or still be: {_see(name)}"


def _see(name: str) -> str:
    return f"see `sharedbreaker show {name}` once Redis answers"


def fail(message: str, exit_code: int, *, as_json: bool) -> NoReturn:
    """Say what could not be done, and exit."""
    if as_json:
        print_json({"error": WORDS[exit_code], "message": message})
    click.echo(f"sharedbreaker: {on_one_line(message)}", err=True)
    sys.exit(exit_code)
