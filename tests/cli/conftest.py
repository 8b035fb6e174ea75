"""What the tests of the command line share."""

from __future__ import annotations

import pytest
from redis import Redis
from verbs import CommandLine

from sharedbreaker.demo.redis_server import RedisServer


@pytest.fixture
def command(redis: Redis, redis_server: RedisServer) -> CommandLine:
    """The command line on the session's server, which is empty."""
    return CommandLine(redis_server.url)
