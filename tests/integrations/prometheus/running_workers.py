"""A small app with metrics, under several gunicorn workers."""

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

import requests
from scraped import Series, parsed, series_in

from sharedbreaker.demo.redis_server import RedisServer

WORKERS = 3
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
