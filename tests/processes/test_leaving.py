"""Processes that end: in the middle of calls, with and without Redis, they end at once and quietly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from worker import leave_a_block_open, leave_inside_a_call
from workforce import SharedCircuit, Worker

from sharedbreaker.demo.redis_server import RedisServer


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that may be stopped."""
    with RedisServer() as server:
        yield server


@pytest.mark.parametrize("redis_is", ["there", "gone", "frozen"])
@pytest.mark.parametrize("warm", [True, False], ids=["after calls", "at its first call"])
def test_process_ends_with_a_guarded_generator_half_way(
    server: RedisServer, redis_is: str, *, warm: bool
) -> None:
    """A block that Python itself closes at the very end keeps no process from ending, and prints nothing."""
    worker = Worker(leave_a_block_open, url=server.url, warm=warm)
    worker.hear("ready")
    if redis_is == "gone":
        server.stop()
    if redis_is == "frozen":
        server.freeze()

    worker.tell()

    assert worker.answer() == "leaving"
    assert "Traceback" not in worker.errors


def test_process_that_exits_inside_a_call_releases_it(server: RedisServer) -> None:
    """sys.exit inside a call ends the process as it should; the call is released and is no failure."""
    worker = Worker(leave_inside_a_call, url=server.url)
    worker.hear("ready")
    worker.tell()

    assert worker.answer() == "leaving"
    client = server.client(decode_responses=True)
    circuit = SharedCircuit(client)
    assert (circuit.number("released_calls"), circuit.number("failed_calls")) == (1, 0)
    assert circuit.fields()["state"] == "closed"
    assert circuit.leases() == {}
    client.close()
