"""The page under gunicorn: several workers, with and without PROMETHEUS_MULTIPROC_DIR."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests
from redis import Redis
from scraped import OPENMETRICS, Series, parsed, series_in

from sharedbreaker.demo.redis_server import RedisServer

WORKERS = 3
HITS = 60
SCRAPES = 20
START_SECONDS = 60.0


class App:
    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False

    def hit(self, times: int) -> set[str]:
        """Process ids of the workers that answered."""
        with ThreadPoolExecutor(8) as threads:
            return set(threads.map(lambda _: self.get("/").text, range(times)))

    def get(self, path: str, accept: str = "") -> requests.Response:
        response = requests.get(self.url + path, headers={"Accept": accept}, timeout=30)
        response.raise_for_status()
        return response

    def scrape(self, accept: str = "") -> Series:
        response = self.get("/metrics", accept)
        return series_in(parsed(response.text, response.headers["Content-Type"]))


@contextmanager
def running_app(folder: Path, redis: RedisServer, *options: str, **variables: str) -> Iterator[App]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        log = folder / "gunicorn.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}"),
                    *("--workers", str(WORKERS), "--chdir", str(Path(__file__).parent)),
                    *("--no-control-socket", *options, "prometheus_app:app"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "APP_REDIS_URL": redis.url, "NO_PROXY": "127.0.0.1", **variables},
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )
        try:
            app = App(f"http://127.0.0.1:{listener.getsockname()[1]}")
            deadline = time.monotonic() + START_SECONDS
            seen: set[str] = set()
            while len(seen) < WORKERS:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                seen |= app.hit(WORKERS)
            yield app
        finally:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def total(series: Series, sample: str, **labels: str) -> float:
    return sum(
        value
        for (name, having), value in series.items()
        if name == sample and labels.items() <= dict(having).items()
    )


def processes_in(series: Series) -> set[str]:
    return {dict(having)["process"] for _, having in series if "process" in dict(having)}


@pytest.mark.parametrize("preload", [False, True])
def test_every_worker_shows_the_same_fleet(
    redis: Redis, redis_server: RedisServer, tmp_path: Path, preload: bool
) -> None:
    """Without any shared directory, each worker shows what Redis has, and its own figures under its name."""
    with running_app(tmp_path, redis_server, *(["--preload"] if preload else [])) as app:
        app.hit(HITS)
        expected = int(str(redis.hget("sharedbreaker:{orders}", "successful_calls")))
        processes: set[str] = set()
        latest: Series = {}
        for _ in range(SCRAPES):
            series = app.scrape()
            assert total(series, "circuit_breaker_calls_total", result="success") == expected
            own = processes_in(series)
            assert len(own) == 1, "one worker cannot speak for another"
            processes |= own
            for (name, labels), value in series.items():
                if name.startswith("circuit_breaker") and name.endswith(("_total", "_count", "_bucket")):
                    assert value >= latest.get((name, labels), 0), f"{name} went down"
            latest.update(series)

    assert expected >= HITS
    assert len(processes) > 1, "the scrapes all reached one worker"


def test_app_and_circuits_are_right_with_a_shared_directory(
    redis: Redis, redis_server: RedisServer, tmp_path: Path
) -> None:
    """With PROMETHEUS_MULTIPROC_DIR one page has the app's sums and each circuit once; ours is in no file."""
    shared = tmp_path / "metrics"
    shared.mkdir()
    with running_app(tmp_path, redis_server, PROMETHEUS_MULTIPROC_DIR=str(shared)) as app:
        app.hit(HITS)
        expected = int(str(redis.hget("sharedbreaker:{orders}", "successful_calls")))
        for number in range(SCRAPES):
            series = app.scrape(OPENMETRICS if number % 2 else "")
            assert total(series, "app_hits_total") == expected
            assert total(series, "circuit_breaker_calls_total", result="success") == expected
            assert total(series, "circuit_breaker_redis_up") == 1
        files = list(shared.glob("*.db"))

        assert files
        assert not [path.name for path in files if b"circuit_breaker" in path.read_bytes()]


def test_counters_never_go_down_while_workers_come_and_go(
    redis: Redis, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Workers that are replaced after a few requests take nothing with them."""
    with running_app(tmp_path, redis_server, "--max-requests", "10") as app:
        latest = 0.0
        processes: set[str] = set()
        for _ in range(15):
            app.hit(6)
            series = app.scrape()
            processes |= processes_in(series)
            successes = total(series, "circuit_breaker_calls_total", result="success")
            assert successes >= latest + 6
            latest = successes

    assert len(processes) > WORKERS, "no worker was replaced"
