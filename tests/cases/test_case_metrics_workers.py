"""Wild cases of metrics: one page behind many workers, and one tally behind many processes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from case_callers import Caller, all_do, callers
from prometheus_client import CollectorRegistry
from redis import Redis
from running_workers import WORKERS, App, processes_in, running_app, total
from scraped import OPENMETRICS, Page, Series

from circuit_in_redis import CircuitInRedis
from sharedbreaker import CircuitBreaker
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.prometheus import register_circuit_breakers

SCRAPES = 20
CYCLES = 100
PROCESSES = 8
RESULTS = {"success": "successful_calls", "failure": "failed_calls", "rejected": "rejected_calls"}


@pytest.fixture(scope="module")
def shared_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("multiproc")


@pytest.fixture(scope="module")
def app(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory, shared_directory: Path
) -> Iterator[App]:
    """An app with a counter of its own, under workers that are replaced after a few requests."""
    with running_app(
        tmp_path_factory.mktemp("app"),
        redis_server,
        *("--max-requests", "20"),
        PROMETHEUS_MULTIPROC_DIR=str(shared_directory),
    ) as running:
        yield running


def test_sb083_app_and_breakers_stand_on_one_page_in_multiprocess_mode(
    redis: Redis, app: App, shared_directory: Path
) -> None:
    """Each scrape has the app's counter, added up, and each circuit once; no file there is the breaker's."""
    before = total(app.scrape(), "app_hits_total")
    app.hit(30)

    for number in range(SCRAPES):
        series = app.scrape(OPENMETRICS if number % 2 else "")
        assert total(series, "app_hits_total") == before + 30
        assert [labels for name, labels in series if name == "circuit_breaker_state"] == [
            frozenset({("name", "orders")})
        ]
        assert total(series, "circuit_breaker_calls_total", result="success") == 30
    files = list(shared_directory.glob("*.db"))
    assert files
    assert not [file.name for file in files if b"circuit_breaker" in file.read_bytes()]


def test_sb084_counters_are_those_of_redis_and_never_go_down(redis: Redis, app: App) -> None:
    """Whoever answers a scrape, and however many workers are replaced, it shows what Redis has."""
    circuit = CircuitInRedis(redis)
    latest: Series = {}
    processes: set[str] = set()
    with ThreadPoolExecutor(4) as threads:
        for turn in range(15):
            list(threads.map(app.get, ["/", "/", "/fail", "/"] if turn < 10 else ["/fail"] * 4))
            series = app.scrape()
            tallies = circuit.numbers(*RESULTS.values())
            for result, field in RESULTS.items():
                assert total(series, "circuit_breaker_calls_total", result=result) == tallies[field]
            for (name, labels), value in series.items():
                if name.startswith("circuit_breaker") and name.endswith("_total"):
                    assert value >= latest.get((name, labels), 0), f"{name} went down"
            latest.update(series)
            processes |= processes_in(series)

    assert len(processes) > WORKERS, "no worker was replaced"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_sb089_a_circuit_that_nobody_called_has_its_series_from_any_process(
    redis: Redis, redis_server: RedisServer, kind: str
) -> None:
    """Closed, and nothing but zeros, from whoever registered it and asked: a first failure is a rise."""
    pages = []
    for _ in range(2):
        registry = CollectorRegistry()
        breaker = CircuitBreaker(name="orders", redis=redis_server.url, redis_timeout=5)
        register_circuit_breakers([breaker], registry=registry)
        pages.append(Page(registry))
    with Caller(redis_server.url, kind) as caller:
        text = caller.do("export_prometheus_metrics")

    for page in pages:
        assert page.value("circuit_breaker_state", name="orders") == 0
        assert page.labels("circuit_breaker_calls_total", "result") == {*RESULTS, "ignored"}
        assert page.labels("circuit_breaker_state_transitions_total", "transition") >= {
            *("closed_to_open", "open_to_half_open", "half_open_to_closed", "half_open_to_open")
        }
        for name in ("circuit_breaker_calls_total", "circuit_breaker_state_transitions_total"):
            assert total(page.series, name) == 0
    assert 'circuit_breaker_state{name="orders"} 0' in text
    assert 'circuit_breaker_calls_total{name="orders",result="failure"} 0' in text
    assert redis.keys() == []


@pytest.mark.parametrize(("kind", "max_staleness"), [("sync", 0), ("async", 0.01)], ids=["strict", "stale"])
def test_sb092_every_transition_is_tallied_and_told_once(
    redis: Redis, redis_server: RedisServer, kind: str, max_staleness: float
) -> None:
    """All processes fail together, then probe together, over and over: one tally and one listener each."""
    circuit = CircuitInRedis(redis)
    settings = {"failure_threshold": PROCESSES, "success_threshold": 1, "timeout": 60}
    with callers(PROCESSES, redis_server.url, kind, max_staleness=max_staleness, **settings) as fleet:
        for cycle in range(CYCLES):
            # A late success may come between failures: all fail until it is open.
            while circuit.field("state") != "open":
                assert set(all_do(fleet, "fail")) <= {"failure", "rejected: open"}
            circuit.set(open_until=circuit.now_ms())
            while circuit.field("state") != "closed":
                all_do(fleet, "succeed")
            assert circuit.number("half_open_to_closed") == cycle + 1

        told = [notice for caller in fleet for notice in caller.notices]

    assert circuit.transitions() == dict.fromkeys(
        ("closed_to_open", "open_to_half_open", "half_open_to_closed"), CYCLES
    )
    assert {notice: told.count(notice) for notice in told} == circuit.transitions()
    registry = CollectorRegistry()
    register_circuit_breakers(registry=registry, redis=redis_server.url)
    transitions = "circuit_breaker_state_transitions_total"
    assert Page(registry).value(transitions, transition="closed_to_open") == CYCLES


def test_peer_a_new_worker_shows_what_was_before_it(redis: Redis, redis_server: RedisServer) -> None:
    """Figures are not of one process: those of workers that are gone are on the page of a new one."""
    with Caller(redis_server.url, failure_threshold=9) as gone:
        assert [gone.do("fail") for _ in range(3)] == ["failure"] * 3
    registry = CollectorRegistry()
    register_circuit_breakers(registry=registry, redis=redis_server.url)

    assert Page(registry).value("circuit_breaker_calls_total", name="orders", result="failure") == 3
