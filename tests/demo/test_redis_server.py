"""A server of one's own is the one that was started, and no other."""

from __future__ import annotations

import pytest

from sharedbreaker.demo.redis_server import NoRedisServerError, RedisServer


def test_server_on_a_port_that_another_one_has_did_not_start() -> None:
    """The other one answers, and is not taken for it."""
    with RedisServer() as other:
        with pytest.raises(NoRedisServerError, match="did not start"), RedisServer(port=other.port):
            pass
        assert other.client().ping()
