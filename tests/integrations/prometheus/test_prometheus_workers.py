"""The page under gunicorn: several workers, with and without PROMETHEUS_MULTIPROC_DIR."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis
from running_workers import WORKERS, processes_in, running_app, total
from scraped import OPENMETRICS, Series

from sharedbreaker.demo.redis_server import RedisServer

HITS = 60
SCRAPES = 20


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
