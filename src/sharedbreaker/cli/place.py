"""Where a verb looks: the Redis and the prefix that its options name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import click

from sharedbreaker.cli.failures import told
from sharedbreaker.operator import Operator
from sharedbreaker.store.fleet import Fleet
from sharedbreaker.store.keys import DEFAULT_PREFIX, PREFIX_VARIABLE

LONGEST_TIMEOUT = 60.0
DEFAULT_TIMEOUT = 2.0


@dataclass(frozen=True)
class Place:
    """One Redis and one prefix in it."""

    url: str | None = field(repr=False)
    """None means SHAREDBREAKER_REDIS_URL, else REDIS_URL, else localhost."""
    prefix: str
    timeout: float
    """Seconds that Redis may take for an answer."""

    def fleet(self) -> Fleet:
        """Return all circuits of this place. Does no I/O."""
        return Fleet(self.url, prefix=self.prefix, timeout=self.timeout)

    def operator(self, name: str) -> Operator:
        """Return an operator of one circuit. Does no I/O."""
        return Operator(name, redis=self.url, prefix=self.prefix, timeout=self.timeout)


_OPTIONS = (
    click.option(
        "--redis",
        "redis_url",
        metavar="URL",
        help="The Redis to ask: redis://, rediss:// or unix://. A password is better kept in the "
        "environment. Default: SHAREDBREAKER_REDIS_URL, else REDIS_URL, else localhost.",
    ),
    click.option(
        "--prefix",
        default=DEFAULT_PREFIX,
        envvar=PREFIX_VARIABLE,
        help=f"What the keys of the circuits begin with. Default: {PREFIX_VARIABLE}, else {DEFAULT_PREFIX}.",
    ),
    click.option(
        "--timeout",
        "redis_timeout",
        type=click.FloatRange(0.01, LONGEST_TIMEOUT),
        default=DEFAULT_TIMEOUT,
        show_default=True,
        help="Seconds that Redis may take for an answer.",
    ),
)


def at_a_place(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the options that say where to look, and `--json`.

    It is called with a ``place`` and ``as_json``; what goes wrong with Redis is told in one line and by an
    exit code, see ``failures``.
    """

    @click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout.")
    @wraps(verb)
    def at_place(
        *, redis_url: str | None, prefix: str, redis_timeout: float, as_json: bool, **rest: Any
    ) -> None:
        place = Place(redis_url, prefix, redis_timeout)
        with told(as_json=as_json):
            verb(place=place, as_json=as_json, **rest)

    for option in reversed(_OPTIONS):
        at_place = option(at_place)
    return at_place
