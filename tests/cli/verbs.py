"""Running the command line in this process, and circuits to run it on."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner
from redis import Redis

from sharedbreaker import CircuitBreaker
from sharedbreaker.cli.commands import sharedbreaker
from sharedbreaker.demo.redis_server import RedisServer

OUR_VARIABLES = (
    "SHAREDBREAKER_REDIS_URL",
    "REDIS_URL",
    "SHAREDBREAKER_PREFIX",
    "FORCE_COLOR",
    "COLUMNS",
    "TTY_COMPATIBLE",
)


@dataclass(frozen=True)
class Ran:
    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class CommandLine:
    """The command line, pointed at one Redis by the environment."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *words: str, typed: str = "", **variables: str) -> Ran:
        theirs = {name: value for name, value in os.environ.items() if name not in OUR_VARIABLES}
        with patch.dict(os.environ, theirs, clear=True):
            result = CliRunner().invoke(
                sharedbreaker,
                words,
                input=typed,
                env={"SHAREDBREAKER_REDIS_URL": self.url, **variables},
                prog_name="sharedbreaker",
            )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def command(redis: Redis, redis_server: RedisServer) -> CommandLine:
    """The command line on the session's server, which is empty."""
    return CommandLine(redis_server.url)


def boom() -> None:
    raise TimeoutError("the service is slow")


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(TimeoutError):
            breaker.call(boom)


def breaker_at(url: str, name: str, **settings: Any) -> CircuitBreaker:
    """A breaker that has been called once, and so has a circuit in Redis."""
    breaker = CircuitBreaker(name=name, redis=url, **{"redis_timeout": 5, **settings})
    breaker.call(int)
    return breaker
