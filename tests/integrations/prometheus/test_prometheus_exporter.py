"""``sharedbreaker exporter``: the fleet's figures from a process that knows none of its code."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
from redis import Redis
from scraped import OPENMETRICS, Series, parsed, series_in

from guarded_calls import succeed
from sharedbreaker import CircuitBreaker
from sharedbreaker.demo.redis_server import RedisServer, free_port

EXPORTER = (sys.executable, "-m", "sharedbreaker", "exporter")
NO_REDIS_OF_OURS = {
    name: value
    for name, value in os.environ.items()
    if name not in {"SHAREDBREAKER_REDIS_URL", "REDIS_URL", "PROMETHEUS_MULTIPROC_DIR"}
}
LONGEST = 60


class Exporter:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stderr is not None
        self.first_line = process.stderr.readline()
        address = re.search(r"http://\S+/metrics", self.first_line)
        assert address is not None, self.first_line + process.stderr.read()
        self.url = address[0]

    def scrape(self, accept: str = "") -> Series:
        response = requests.get(
            self.url, headers={"Accept": accept}, timeout=30, proxies={"http": "", "https": ""}
        )
        assert response.status_code == 200
        return series_in(parsed(response.text, response.headers["Content-Type"]))


@contextmanager
def running_exporter(*options: str, **variables: str) -> Iterator[Exporter]:
    process = subprocess.Popen(
        [*EXPORTER, "--port", "0", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**NO_REDIS_OF_OURS, **variables},
    )
    with process:
        try:
            yield Exporter(process)
        finally:
            process.kill()


def value(series: Series, sample: str, **labels: str) -> float | None:
    return series.get((sample, frozenset(labels.items())))


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_circuits_are_found_without_any_code(redis: Redis, redis_server: RedisServer, accept: str) -> None:
    """The exporter shows every circuit under the prefix, and only reads."""
    succeed(CircuitBreaker(name="orders", redis=redis_server.url, redis_timeout=5, prefix="shop"), 3)
    before = redis.hgetall("shop:{orders}")

    with running_exporter("--redis", redis_server.url, "--prefix", "shop") as exporter:
        series = exporter.scrape(accept)

    assert value(series, "circuit_breaker_calls_total", name="orders", result="success") == 3
    assert value(series, "circuit_breaker_redis_up") == 1
    assert redis.hgetall("shop:{orders}") == before


def test_redis_is_found_by_the_environment(redis: Redis, redis_server: RedisServer) -> None:
    """Without --redis the exporter looks where the breakers look."""
    succeed(CircuitBreaker(name="orders", redis=redis_server.url, redis_timeout=5))

    with running_exporter(SHAREDBREAKER_REDIS_URL=redis_server.url) as exporter:
        assert value(exporter.scrape(), "circuit_breaker_state", name="orders") == 0


def test_it_runs_without_redis_and_shows_it_when_it_comes() -> None:
    """It starts while Redis is away, answers, and has the figures as soon as Redis is there."""
    with RedisServer() as server:
        succeed(CircuitBreaker(name="orders", redis=server.url, redis_timeout=5))
        server.freeze()
        with running_exporter("--redis", server.url, "--timeout", "0.2") as exporter:
            started = time.monotonic()
            series = exporter.scrape()
            assert time.monotonic() - started < 3
            assert value(series, "circuit_breaker_redis_up") == 0
            assert value(series, "circuit_breaker_state", name="orders") is None

            server.thaw()
            deadline = time.monotonic() + 20
            while not value(series := exporter.scrape(), "circuit_breaker_redis_up"):
                assert time.monotonic() < deadline
            assert value(series, "circuit_breaker_state", name="orders") == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_it_is_told_to(how: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end it in good order."""
    with running_exporter("--redis", f"redis://127.0.0.1:{free_port()}/0") as exporter:
        exporter.process.send_signal(how)

        assert exporter.process.wait(LONGEST) == 0


def refused(*options: str) -> str:
    result = subprocess.run(
        [*EXPORTER, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST,
        env=NO_REDIS_OF_OURS,
    )
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    return result.stderr


def test_a_port_that_is_taken_is_named() -> None:
    """Where it cannot listen it says so, and how to choose another port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        message = refused("--port", port)

    assert port in message
    assert "--port" in message


def test_a_broken_address_is_refused_without_its_password() -> None:
    """An address that cannot be read is refused at once, and not shown."""
    message = refused("--redis", "rediss:/hidden@broken:x")

    assert "redis://" in message
    assert "hidden" not in message


def test_a_broken_prefix_is_refused() -> None:
    """A prefix that no key can have is refused at once."""
    assert "prefix" in refused("--prefix", "br{ace")
