"""What the verbs that serve have in common: where they listen, what they read, how they refuse to begin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import click

from sharedbreaker.cli.place import LONGEST_TIMEOUT
from sharedbreaker.store.keys import DEFAULT_PREFIX, PREFIX_VARIABLE

HIGHEST_PORT = 65535
ANSWER_TIMEOUT = 0.5

Verb = Callable[..., Any]


def serving(*, port: int, redis_is_to: str, who_waits: str) -> Callable[[Verb], Verb]:
    """Give a verb the options ``redis_url``, ``prefix``, ``host``, ``port`` and ``timeout``.

    ``port`` is the default one; the others complete the help: what the Redis is to be, and who waits for it.
    """
    options = (
        click.option(
            "--redis",
            "redis_url",
            metavar="URL",
            help=f"The Redis to {redis_is_to} (redis://, rediss:// or unix://). Default: "
            "SHAREDBREAKER_REDIS_URL, else REDIS_URL, else localhost.",
        ),
        click.option(
            "--prefix",
            default=DEFAULT_PREFIX,
            envvar=PREFIX_VARIABLE,
            help="What the keys of the circuits begin with. "
            f"Default: {PREFIX_VARIABLE}, else {DEFAULT_PREFIX}.",
        ),
        click.option(
            "--host",
            default="127.0.0.1",
            show_default=True,
            help="Address to listen on; 0.0.0.0 in a container.",
        ),
        click.option(
            "--port",
            type=click.IntRange(0, HIGHEST_PORT),
            default=port,
            show_default=True,
            help="Port to listen on; 0 for any free one, which is printed.",
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(0.01, LONGEST_TIMEOUT),
            default=ANSWER_TIMEOUT,
            show_default=True,
            help=f"Seconds that {who_waits} may wait for Redis.",
        ),
    )

    def give(verb: Verb) -> Verb:
        for option in reversed(options):
            verb = option(verb)
        return verb

    return give


def refuse(verb: str, message: str) -> NoReturn:
    """Say in one line why a verb cannot begin, and exit with 2."""
    click.echo(f"sharedbreaker {verb}: {message}", err=True)
    raise SystemExit(2)


def refuse_address(verb: str, host: str, port: int, error: OSError) -> NoReturn:
    """Say that a verb cannot listen where it was told to, and exit with 2."""
    why = error.strerror or error
    refuse(verb, f"cannot listen on {host}:{port}: {why}; choose another with --port or --host")
