"""How ``sharedbreaker demo`` ends when somebody ends it: nothing that it started is left."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis

from sharedbreaker.demo.redis_server import RedisServer

DEMO = (sys.executable, "-m", "sharedbreaker", "demo")
SHORTEST = ("--seconds", "5")
PATIENCE = 60


@pytest.fixture
def demo_in_flow(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A demo whose traffic flows; its options are the parameter, with REDIS for the session's."""
    server: RedisServer = request.getfixturevalue("redis_server")
    options = [server.url if option == "REDIS" else option for option in request.param]
    process = subprocess.Popen(
        [*DEMO, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        # A shell that runs the tests in the background has SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    yield process
    process.kill()
    process.communicate()


def read_until(process: subprocess.Popen[str], wanted: str) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if wanted in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def descendants(pid: int) -> set[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found, before = {pid}, 0
    while len(found) > before:
        before = len(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return found - {pid}


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to list processes")
@pytest.mark.parametrize("demo_in_flow", [("--workers", "2", "--json")], indirect=True)
def test_ctrl_c_stops_all_that_was_started(demo_in_flow: subprocess.Popen[str], tmp_path: Path) -> None:
    """SIGINT in mid-traffic exits 130 at once, without a traceback, a process, a port or a file left."""
    said = read_until(demo_in_flow, "Traffic begins")
    children = descendants(demo_in_flow.pid)
    ports = [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", said)]
    assert len(children) == 4  # Redis, gunicorn and two workers
    assert len(ports) == 3
    assert all(map(is_listening, ports))
    demo_in_flow.send_signal(signal.SIGINT)
    rest, _ = demo_in_flow.communicate(timeout=PATIENCE)
    assert demo_in_flow.returncode == 130
    assert "Traceback" not in rest
    assert "SIGINT" in rest
    assert not any(map(is_running, children))
    assert not any(map(is_listening, ports))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("demo_in_flow", [("--workers", "1", "--redis", "REDIS")], indirect=True)
def test_sigterm_deletes_the_keys_in_a_given_redis(
    redis_server: RedisServer, redis: Redis, demo_in_flow: subprocess.Popen[str]
) -> None:
    """SIGTERM exits 143; the demo's keys are gone from the given Redis, which goes on."""
    read_until(demo_in_flow, "Traffic begins")
    deadline = time.monotonic() + PATIENCE
    while not list(redis.scan_iter("sharedbreaker-demo-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(redis.scan_iter("sharedbreaker-demo-*"))
    demo_in_flow.terminate()
    rest, _ = demo_in_flow.communicate(timeout=PATIENCE)
    assert demo_in_flow.returncode == 143
    assert "Traceback" not in rest
    assert list(redis.scan_iter("sharedbreaker-demo-*")) == []


@pytest.mark.parametrize("demo_in_flow", [(*SHORTEST, "--workers", "1", "--keep")], indirect=True)
def test_keep_leaves_all_running_until_ctrl_c(demo_in_flow: subprocess.Popen[str]) -> None:
    """With --keep, the addresses that are printed after the verdict answer, and Ctrl-C ends them."""
    said = read_until(demo_in_flow, "Nothing is left behind")
    assert "checks passed" in said
    commands = re.findall(r"^  (curl .*|redis-cli .*)$", said, re.MULTILINE)
    assert len(commands) == 11
    for command in commands:
        program, *_ = command.split()
        if shutil.which(program):
            done = subprocess.run(command, shell=True, capture_output=True, timeout=10, check=True)  # noqa: S602
            assert b"closed_to_open" in done.stdout or program == "curl"
            assert b"HTTP/1.1 5" not in done.stdout
    demo_in_flow.send_signal(signal.SIGINT)
    demo_in_flow.communicate(timeout=PATIENCE)
    assert demo_in_flow.returncode == 130
    assert not is_listening(int(re.findall(r"curl -i http://127\.0\.0\.1:(\d+)", said)[0]))
