"""The examples as their users run them: real servers in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests
from redis import Redis

from sharedbreaker.demo.google_ai_server import GoogleAiServer
from sharedbreaker.demo.redis_server import RedisServer, free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 60
WORKERS = 2


@pytest.fixture
def google_ai() -> Iterator[GoogleAiServer]:
    with GoogleAiServer() as server:
        yield server


@pytest.fixture
def environment(redis_server: RedisServer, redis: Redis, google_ai: GoogleAiServer) -> dict[str, str]:
    """What an example needs to find Redis and Google AI."""
    return {
        **os.environ,
        "SHAREDBREAKER_REDIS_URL": redis_server.url,
        "GOOGLE_API_KEY": "hushhush",
        "GOOGLE_GEMINI_BASE_URL": google_ai.url,
        "NO_PROXY": "127.0.0.1",
        "PYTHONWARNINGS": "ignore",
    }


@contextmanager
def running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    """Run ``python -m`` with ``command`` beside the examples while the block lasts."""
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=EXAMPLES,
            env=environment,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
        assert process.poll() is None, log.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def serving(command: list[str], environment: dict[str, str], log: Path) -> Iterator[str]:
    """Run a web server that takes ``PORT`` in its ``command``; give its address once it answers."""
    port = str(free_port())
    url = f"http://127.0.0.1:{port}"
    with running([word.replace("PORT", port) for word in command], environment, log):
        until(lambda: answers(url), log)
        yield url


def answers(url: str) -> bool:
    try:
        requests.get(url, timeout=5)
    except requests.RequestException:
        return False
    return True


def until(holds: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
