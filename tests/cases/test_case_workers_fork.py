"""Case SB-049: workers that are forked from a process which has called its breakers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from case_forking_program import CALLS
from case_gunicorn import answers_to, running_gunicorn
from case_variants import strict_and_stale
from redis import Redis

from circuit_in_redis import CircuitInRedis
from sharedbreaker.demo.redis_server import RedisServer

CHILDREN = 8
PROGRAM = Path(__file__).with_name("case_forking_program.py")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@strict_and_stale
def test_sb049_forked_children_share_no_answer(
    redis_server: RedisServer, redis: Redis, max_staleness: float
) -> None:
    """A warm parent and eight forked children call at once: no answer is of another circuit, all count."""
    ran = subprocess.run(
        [sys.executable, str(PROGRAM), redis_server.url, str(max_staleness), str(CHILDREN)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    stories = json.loads(ran.stdout)
    assert [story["wrong"] for story in stories] == [0] * (CHILDREN + 1)
    tokens = [token for story in stories for token in story["tokens"]]
    assert len(set(tokens)) == CHILDREN + 1
    common = CircuitInRedis(redis, "common")
    assert common.number("successful_calls") == (CHILDREN + 1) * (CALLS + 1) + 1
    assert (common.number("lost_calls"), common.leases()) == (0, {})
    for number in range(CHILDREN + 1):
        tallies = CircuitInRedis(redis, f"own-{number}").tallies()
        expected = (1, CALLS) if number % 2 else (CALLS + 1, 0)
        assert (tallies["successful_calls"], tallies["rejected_calls"]) == expected


@strict_and_stale
def test_sb049_gunicorn_preload(
    redis_server: RedisServer, redis: Redis, tmp_path: Path, max_staleness: float
) -> None:
    """Workers of gunicorn --preload, whose parent has called, know each circuit's state and count all."""
    log = tmp_path / "log"
    options = ("--preload", "--workers", "3", "--threads", "2")
    variables = {"APP_REDIS_URL": redis_server.url, "APP_STALENESS": str(max_staleness)}
    with running_gunicorn("case_preloaded_app:app", log, *options, **variables) as url:
        told = answers_to([f"{url}/closed", f"{url}/open"] * 40)

    ends = [answer.partition(" ")[2] for answer in told]
    assert ends == ["ran", "open held_open"] * 40
    assert len({answer.partition(" ")[0] for answer in told}) > 1
    assert "Traceback" not in log.read_text()
    assert CircuitInRedis(redis, "open").number("rejected_calls") == 40
    # Streams that were left are released. One request more saw that it is ready; the parent called as well.
    assert CircuitInRedis(redis, "closed").numbers("released_calls", "successful_calls") == {
        "released_calls": 42,
        "successful_calls": 42,
    }
