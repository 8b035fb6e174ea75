"""Processes with a loop: they fork, and they exit in the middle of calls, and print nothing."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from redis import Redis

from circuit_in_redis import CircuitInRedis
from sharedbreaker.demo.redis_server import RedisServer

BEGIN = """
import asyncio, os, sys
from sharedbreaker import AsyncCircuitBreaker
staleness = float(sys.argv[2])
breaker = AsyncCircuitBreaker(name="orders", redis=sys.argv[1], redis_timeout=20, max_staleness=staleness)
async def work():
    await asyncio.sleep(0)
async def calls(times):
    await asyncio.gather(*(breaker.call(work) for _ in range(times)))
"""


def run(tmp_path: Path, code: str, url: str, staleness: float = 0) -> subprocess.CompletedProcess[str]:
    program = tmp_path / "program.py"
    program.write_text(BEGIN + textwrap.dedent(code))
    return subprocess.run(
        [sys.executable, "-W", "error", str(program), url, str(staleness)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


FORKS = """
async def whole():
    await calls(10)
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:  # the parent's loop is not the child's to step
            asyncio.run(calls(20))
            breaker._store.settle_at_exit()
            os._exit(0)
        children.append(child)
    await calls(10)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    await calls(10)
asyncio.run(whole())
"""


@pytest.mark.parametrize("staleness", [0, 60])
def test_process_forks_from_a_running_loop(
    redis_server: RedisServer, redis: Redis, tmp_path: Path, staleness: float
) -> None:
    """Children forked from a running loop make calls in loops of their own, and the parent goes on."""
    ended = run(tmp_path, FORKS, redis_server.url, staleness)

    assert (ended.returncode, ended.stderr) == (0, "")
    circuit = CircuitInRedis(redis)
    assert circuit.number("successful_calls") == 30 + 3 * 20
    assert circuit.leases() == {}


EXITS = {
    "sys.exit in a task": """
async def leave():
    await calls(5)
    asyncio.ensure_future(breaker.call(asyncio.sleep, 60))
    await asyncio.sleep(0.1)
    sys.exit(3)
asyncio.run(leave())
""",
    "loop that is left as it is": """
async def leave():
    await calls(5)
    asyncio.ensure_future(breaker.call(asyncio.sleep, 60))
    await asyncio.sleep(0.1)
import logging; logging.getLogger("asyncio").disabled = True
import warnings; warnings.simplefilter("ignore", ResourceWarning)
loop = asyncio.new_event_loop()
loop.run_until_complete(leave())
sys.exit(3)
""",
    "interrupted": """
import signal
async def leave():
    await calls(5)
    asyncio.ensure_future(breaker.call(asyncio.sleep, 60))
    await asyncio.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(60)
try:
    asyncio.run(leave())
except KeyboardInterrupt:
    sys.exit(3)
""",
}


@pytest.mark.parametrize("staleness", [0, 60])
@pytest.mark.parametrize("way", EXITS)
def test_process_exits_in_the_middle_of_a_call(
    redis_server: RedisServer, redis: Redis, tmp_path: Path, way: str, staleness: float
) -> None:
    """However a process leaves its loop, what was done is told, and a call under way is released, quietly."""
    ended = run(tmp_path, EXITS[way], redis_server.url, staleness)

    assert (ended.returncode, ended.stderr) == (3, "")
    circuit = CircuitInRedis(redis)
    assert circuit.number("successful_calls") == 5
    if way != "loop that is left as it is":  # there nothing ends the call but its lease
        assert circuit.number("released_calls") == 1
        assert circuit.leases() == {}
