"""A scrape while Redis is away: in time, honest, and with everything else on the page."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from bad_network import BadNetwork
from prometheus_client import CollectorRegistry, Counter
from scraped import OPENMETRICS, Page

from guarded_calls import succeed
from sharedbreaker import CircuitBreaker
from sharedbreaker.circuit.families import FAMILIES
from sharedbreaker.demo.redis_server import RedisServer, free_port
from sharedbreaker.integrations.prometheus import register_circuit_breakers

FLEET_FAMILIES = {family.name.removesuffix("_total") for family in FAMILIES}
PROMISED_SECONDS = 1.0
SCHEDULING = 2.0
"""Seconds more on a machine that does much else."""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of this test's own."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=True)
    Counter("app_hits", "Hits of the app.", registry=registry).inc(7)
    return registry


def breaker_at(server: RedisServer, **settings: Any) -> CircuitBreaker:
    return CircuitBreaker(
        name="orders", redis=server.url, redis_timeout=0.2, redis_retry_interval=0.01, **settings
    )


def scraped_without_redis(registry: CollectorRegistry, accept: str = "") -> Page:
    started = time.monotonic()
    page = Page(registry, accept)
    assert time.monotonic() - started < PROMISED_SECONDS + SCHEDULING
    assert page.value("circuit_breaker_redis_up") == 0
    fleet = {
        family.name: family.samples for family in page.families.values() if family.name in FLEET_FAMILIES
    }
    assert set(fleet) == FLEET_FAMILIES
    assert not any(fleet.values()), "old figures, or zeros, in place of what nobody knows"
    assert page.value("app_hits_total") == 7
    return page


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
@pytest.mark.parametrize("discover", [False, True])
@pytest.mark.parametrize("trouble", ["stop", "kill", "freeze"])
def test_without_redis_there_are_no_figures_of_the_fleet(
    server: RedisServer, registry: CollectorRegistry, trouble: str, discover: bool, accept: str
) -> None:
    """Whether Redis refuses or hangs, the page is there within a second, and shows nothing old."""
    breaker = breaker_at(server)
    succeed(breaker)
    register_circuit_breakers(None if discover else [breaker], redis=server.url, registry=registry)
    assert Page(registry).value("circuit_breaker_redis_up") == 1

    getattr(server, trouble)()
    first = scraped_without_redis(registry, accept)
    second = scraped_without_redis(registry, accept)

    failed = "circuit_breaker_failed_scrapes_total"
    assert (first.value(failed), second.value(failed)) == (1, 2)


def test_nobody_there_from_the_beginning(registry: CollectorRegistry) -> None:
    """An app that starts while Redis is away has its page."""
    register_circuit_breakers(
        [CircuitBreaker(name="a", redis=f"redis://127.0.0.1:{free_port()}/0")], registry=registry
    )

    scraped_without_redis(registry)


def test_figures_are_back_with_redis(server: RedisServer, registry: CollectorRegistry) -> None:
    """After an outage a scrape shows what Redis has now, and not what it answered too late."""
    breaker = breaker_at(server)
    succeed(breaker, 3)
    register_circuit_breakers([breaker], registry=registry, timeout=0.2)
    Page(registry)
    server.freeze()
    scraped_without_redis(registry)
    server.thaw()
    succeed(CircuitBreaker(name="orders", redis=server.url, redis_timeout=5))

    deadline = time.monotonic() + 20
    while not (page := Page(registry)).value("circuit_breaker_redis_up"):
        assert time.monotonic() < deadline
    assert page.value("circuit_breaker_calls_total", result="success") == 4


def test_an_idle_connection_that_was_cut_is_no_outage(
    server: RedisServer, registry: CollectorRegistry
) -> None:
    """A server that was restarted between two scrapes is asked again."""
    breaker = breaker_at(server)
    succeed(breaker)
    register_circuit_breakers([breaker], registry=registry, timeout=5)
    Page(registry)
    server.stop()
    server.start()

    page = Page(registry)

    assert page.value("circuit_breaker_redis_up") == 1
    assert page.value("circuit_breaker_calls_total", result="success") == 0


def test_one_connection_that_breaks_is_no_outage(server: RedisServer, registry: CollectorRegistry) -> None:
    """A question whose connection is cut is asked once more, and not a third time."""
    with BadNetwork(server.port) as proxy:
        breaker = CircuitBreaker(name="orders", redis=proxy.url)
        register_circuit_breakers([breaker], registry=registry, timeout=5)
        assert Page(registry).value("circuit_breaker_redis_up") == 1

        proxy.cuts = 1
        assert Page(registry).value("circuit_breaker_redis_up") == 1
        proxy.cuts = 2
        assert Page(registry).value("circuit_breaker_redis_up") == 0
        assert Page(registry).value("circuit_breaker_redis_up") == 1


def test_answers_that_dribble_in_do_not_hold_up_the_page(
    server: RedisServer, registry: CollectorRegistry
) -> None:
    """The wait for all answers together is bounded, however soon each piece of them comes."""
    with BadNetwork(server.port) as proxy:
        breakers = [CircuitBreaker(name=f"orders-{number}", redis=proxy.url) for number in range(40)]
        for breaker in breakers:
            succeed(breaker)
        register_circuit_breakers(breakers, registry=registry, timeout=0.5)
        assert Page(registry).value("circuit_breaker_redis_up") == 1
        proxy.dribbles = True

        scraped_without_redis(registry)


def test_an_outage_is_logged_once_and_without_a_password(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """Many scrapes without Redis leave one line, which says where Redis should be."""
    port = free_port()
    register_circuit_breakers(registry=registry, redis=f"redis://:hidden@127.0.0.1:{port}/0")
    caplog.set_level(logging.WARNING)

    pages = [Page(registry).text for _ in range(5)]

    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert f"127.0.0.1:{port}" in lines[0]
    assert "hidden" not in lines[0] + "".join(pages)


def test_a_process_that_decides_by_itself_says_so(server: RedisServer, registry: CollectorRegistry) -> None:
    """Without Redis the process is degraded and keeps what it could not write, until it could."""
    breaker = breaker_at(server)
    succeed(breaker)
    register_circuit_breakers([breaker], registry=registry, timeout=0.2)
    assert Page(registry).value("circuit_breaker_process_degraded", name="orders") == 0
    server.stop()
    succeed(breaker, 4)

    page = Page(registry)
    assert page.value("circuit_breaker_process_degraded", name="orders") == 1
    assert page.value("circuit_breaker_process_unwritten_calls", name="orders") == 4
    unanswered = page.value("circuit_breaker_redis_unanswered_total")
    assert unanswered is not None
    assert unanswered >= 1

    server.start()
    deadline = time.monotonic() + 20
    own = ("circuit_breaker_process_degraded", "circuit_breaker_process_unwritten_calls")
    while [Page(registry).value(name, name="orders") for name in own] != [0, 0]:
        assert time.monotonic() < deadline
        succeed(breaker)


def test_whatever_goes_wrong_the_page_is_there(registry: CollectorRegistry) -> None:
    """An error that nobody thought of costs the circuits, and no other metric."""

    class BrokenBreaker(CircuitBreaker):
        @property
        def prefix(self) -> str:
            if broken:
                raise RuntimeError("nobody thought of it")
            return "sharedbreaker"

    broken = False
    breaker = BrokenBreaker(name="a", redis=f"redis://127.0.0.1:{free_port()}/0")
    register_circuit_breakers([breaker], registry=registry)
    broken = True

    scraped_without_redis(registry)
