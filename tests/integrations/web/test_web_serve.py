"""`sharedbreaker serve`, as a process."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis
from served_page import served
from web_servers import ACT, TOKEN, Client

from guarded_calls import succeed
from sharedbreaker import CircuitBreaker
from sharedbreaker.demo.redis_server import RedisServer

WITHOUT_UVICORN = """
import importlib.util
importlib.util.find_spec = lambda name, package=None: None
from sharedbreaker.cli.commands import sharedbreaker
sharedbreaker(["serve"])
"""
HOLD = b'{"name": "orders", "act": "force_open", "reason": "maintenance"}'


def client_of(address: str) -> Client:
    port = urlsplit(address).port
    assert port is not None
    return Client(port, mounted="")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sharedbreaker", "serve", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment}
    )


def test_it_shows_what_processes_that_are_gone_left(redis: Redis, redis_server: RedisServer) -> None:
    """The page, its figures, /metrics and health are there for circuits of which it has no code."""
    succeed(CircuitBreaker(name="orders", redis=redis))
    with served(redis_server.url) as address:
        client = client_of(address)
        assert client.get("/").headers["location"] == "circuit-breakers/"
        assert client.get("/circuit-breakers/").status == 200
        assert client.get("/api/circuit-breakers/metrics").document["breakers"]["orders"]["total_calls"] == 1
        assert b'circuit_breaker_calls_total{name="orders",result="success"} 1' in client.get("/metrics").body
        assert client.get("/api/health").status == 200
        assert "server" not in client.get("/api/health").headers
        assert client.ask("POST", "/api/circuit-breakers/act", ACT, HOLD).status == 403


def test_the_token_comes_from_a_file_or_the_environment_and_is_printed_nowhere(
    redis: Redis, redis_server: RedisServer, tmp_path: Path
) -> None:
    """With a token in a file, or in the environment, who has it may act."""
    succeed(CircuitBreaker(name="orders", redis=redis))
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    with served(redis_server.url, "--token-file", str(file)) as address:
        assert client_of(address).ask("POST", "/api/circuit-breakers/act", ACT, HOLD).status == 200
    assert CircuitBreaker(name="orders", redis=redis).get_metrics()["held_reason"] == "maintenance"
    weak = run("--redis", redis_server.url, SHAREDBREAKER_WEB_TOKEN="guess-me")
    assert weak.returncode == 2
    assert "16 to 512 characters" in weak.stderr
    assert "guess-me" not in weak.stderr


def test_another_name_for_this_machine_reads_nothing(redis: Redis, redis_server: RedisServer) -> None:
    """On the loopback address a Host that was not allowed, as DNS rebinding brings it, is refused."""
    with served(redis_server.url, "--allow-host", "breakers.internal") as address:
        port = urlsplit(address).port
        for host, status in (
            ("evil.example", 421),
            ("breakers.internal:80", 200),
            (f"localhost:{port}", 200),
        ):
            connection = HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("GET", "/api/health/live", headers={"Host": host})
            assert connection.getresponse().status == status
            connection.close()


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_good_order(redis_server: RedisServer, which: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end it with status 0 and nothing on stderr but its address."""
    command = [sys.executable, "-m", "sharedbreaker", "serve", "--redis", redis_server.url, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert re.fullmatch(r"serving http://127\.0\.0\.1:\d+/ read-only\n", first)
        client_of(first.split()[1]).get("/api/health/live")
        process.send_signal(which)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_what_cannot_begin_says_why(redis_server: RedisServer) -> None:
    """A port that is taken, a URL that is none and a missing library end it with 2 and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = run("--redis", redis_server.url, "--port", port)
    assert refused.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in refused.stderr
    broken = run("--redis", "http://:hunter2@nowhere")
    assert broken.returncode == 2
    assert "redis://" in broken.stderr
    assert "hunter2" not in broken.stderr
    without = subprocess.run(
        [
            sys.executable,
            "-c",
            WITHOUT_UVICORN,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert without.returncode == 2
    assert "pip install 'sharedbreaker[web]'" in without.stderr
