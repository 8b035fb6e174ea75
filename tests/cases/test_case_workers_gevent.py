"""Case SB-055: greenlets. eventlet, which its own makers advise against by now, is not tried."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from case_gunicorn import answers_to, running_gunicorn
from case_variants import strict_and_stale

from circuit_in_redis import CircuitInRedis
from sharedbreaker.demo.redis_server import RedisServer

PROGRAM = Path(__file__).with_name("case_gevent_program.py")
CALLS_OF_EACH = 40 * 3
KILLED = 40


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that may be frozen."""
    with RedisServer() as server:
        yield server


@strict_and_stale
def test_sb055_greenlets_mix_no_answers_and_free_their_places(
    server: RedisServer, max_staleness: float
) -> None:
    """Two hundred greenlets on five circuits: no answer is mixed up, the killed are released."""
    ran = subprocess.run(
        [sys.executable, str(PROGRAM), server.url, str(max_staleness), str(server.pid)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    told = json.loads(ran.stdout)
    expected = {f"circuit-{number}": CALLS_OF_EACH for number in range(3)}
    expected |= {f"rejected by circuit-{number}": CALLS_OF_EACH for number in (3, 4)}
    assert told == {"ends": expected, "strangers": [], "waited": True, "is_shared": True}
    admin = server.client(decode_responses=True)
    circuits = [CircuitInRedis(admin, f"circuit-{number}") for number in range(5)]
    assert [circuit.number("successful_calls") for circuit in circuits] == [CALLS_OF_EACH] * 3 + [0, 0]
    assert [circuit.number("rejected_calls") for circuit in circuits] == [0] * 3 + [CALLS_OF_EACH] * 2
    assert circuits[0].numbers("released_calls", "lost_calls") == {"released_calls": KILLED, "lost_calls": 0}
    assert circuits[0].leases() == {}
    admin.close()


@pytest.mark.parametrize("preload", [False, True], ids=["loaded by each", "preloaded"])
def test_sb055_gunicorn_with_gevent(server: RedisServer, tmp_path: Path, *, preload: bool) -> None:
    """An app under gunicorn -k gevent, also one loaded before the fork, answers rightly and never hangs.

    Failed at first: a preloaded app had locks and a queue of real threads: gunicorn patches after its fork;
    calls on a view ended in a RuntimeError of the breaker's, or all greenlets stood still.
    """
    log = tmp_path / "log"
    # By default gunicorn waits for as long as the test does.
    options = ["--worker-class", "gevent", "--workers", "2", "--graceful-timeout", "5"]
    options += ["--preload"] if preload else []
    variables = {"APP_REDIS_URL": server.url, "APP_STALENESS": "30", "PYTHONWARNINGS": "ignore"}
    with running_gunicorn("case_preloaded_app:app", log, *options, **variables) as url:
        told = answers_to([f"{url}/closed", f"{url}/open"] * 30)

    assert [answer.partition(" ")[2] for answer in told] == ["ran", "open held_open"] * 30
    assert "Traceback" not in log.read_text()
    admin = server.client(decode_responses=True)
    assert CircuitInRedis(admin, "open").number("rejected_calls") >= 30
    closed = CircuitInRedis(admin, "closed").numbers("released_calls", "lost_calls")
    # One request more saw that the app is ready, and whoever loaded the app called as well.
    assert closed == {"released_calls": 31 + (1 if preload else 2), "lost_calls": 0}
    admin.close()
