"""A server that lacks what the scripts need."""

from __future__ import annotations

import logging

import pytest

from sharedbreaker import CircuitBreaker
from sharedbreaker.demo.redis_server import RedisServer


def test_a_server_without_a_command_is_named_as_too_old(caplog: pytest.LogCaptureFixture) -> None:
    """Where a script meets a command that the server lacks, calls run and the log says what is needed."""
    caplog.set_level(logging.WARNING)
    with RedisServer("--rename-command", "TIME", "") as server:
        breaker = CircuitBreaker(name="old", redis=server.url)

        assert breaker.call(lambda: "done") == "done"

    assert "needs Redis 6.2" in caplog.text
