"""Prometheus and its promtool, as they are on this machine; and data of the past for them."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector

from sharedbreaker.demo.redis_server import free_port

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "prometheus"
START_SECONDS = 60.0
POLL_SECONDS = 0.1


def program(name: str) -> str:
    """The path of a program; the test is skipped where it is not installed."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed: apt-get install prometheus")
    return path


def promtool(*words: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("promtool"), *map(str, words)],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class Prometheus:
    """A running server, asked over its HTTP API."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def close(self) -> None:
        self._session.close()

    def is_ready(self) -> bool:
        try:
            return self._session.get(f"{self.url}/-/ready", timeout=5).ok
        except requests.RequestException:
            return False

    def api(self, path: str, **parameters: str | float) -> Any:
        answer = self._session.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30).json()
        assert answer["status"] == "success", (answer, parameters)
        return answer["data"]

    def at(self, expression: str, moment: float | None = None) -> list[dict[str, Any]]:
        """The result of an instant query; now, if not at another moment."""
        moments = {} if moment is None else {"time": moment}
        found: list[dict[str, Any]] = self.api("query", query=expression, **moments)["result"]
        return found

    def over(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The result of a range query."""
        found: list[dict[str, Any]] = self.api(
            "query_range", query=expression, start=start, end=end, step=step
        )["result"]
        return found


@contextmanager
def running_prometheus(folder: Path, *options: str, config: Path | None = None) -> Iterator[Prometheus]:
    """A server that keeps its data under ``folder``; without a configuration it scrapes nothing."""
    if config is None:
        config = folder / "nothing.yml"
        config.write_text("scrape_configs: []\n")
    port = free_port()
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                program("prometheus"),
                *(f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"),
                *(f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=10y", *options),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    prometheus = Prometheus(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + START_SECONDS
        while not prometheus.is_ready():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(POLL_SECONDS)
        yield prometheus
    finally:
        prometheus.close()
        process.kill()
        process.wait()


class Past(Collector):
    """Pages of metrics, each at its moment, as one file that promtool makes a database of."""

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}

    def add(self, page: Iterable[Metric], moment: float, target: Mapping[str, str]) -> None:
        """Add what a scrape of ``target`` found at ``moment``, Unix seconds."""
        for family in page:
            kept = self._families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            for sample in family.samples:
                kept.add_sample(sample.name, {**sample.labels, **target}, sample.value, timestamp=moment)

    def collect(self) -> Iterator[Metric]:
        for family in self._families.values():
            # The file has all samples of a series together.
            family.samples.sort(key=lambda sample: (sample.name, sorted(sample.labels.items())))
            yield family

    def write(self, folder: Path) -> None:
        """Write the database that a server with ``folder`` reads."""
        registry = CollectorRegistry()
        registry.register(self)
        pages = folder / "pages.txt"
        pages.write_bytes(generate_latest(registry))  # type: ignore[no-untyped-call]
        result = promtool("tsdb", "create-blocks-from", "openmetrics", pages, folder / "data")
        assert result.returncode == 0, result.stdout + result.stderr
