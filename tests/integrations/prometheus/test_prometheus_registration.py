"""Registering collectors: without I/O, once in each registry, and with nonsense refused."""

from __future__ import annotations

import socket

import pytest
from prometheus_client import CollectorRegistry
from redis import Redis
from scraped import Page

from guarded_calls import succeed
from sharedbreaker import CircuitBreaker, SettingsError
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.prometheus import (
    CircuitBreakerCollector,
    register_circuit_breakers,
    unregister_circuit_breakers,
)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry(auto_describe=True)


def test_registering_asks_for_nothing(registry: CollectorRegistry) -> None:
    """Neither making nor registering a collector connects to Redis."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        register_circuit_breakers([CircuitBreaker(name="a", redis=url)], registry=registry)
        register_circuit_breakers(registry=registry, redis=url)
        listener.setblocking(False)

        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_second_registration_takes_the_place_of_the_first(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """An app that is made three times has each series once, for its latest breakers."""
    for name in ("a", "b", "c"):
        register_circuit_breakers([CircuitBreaker(name=name, redis=redis_server.url)], registry=registry)

    assert Page(registry).circuits() == {"c"}


def test_a_registration_can_be_ended_by_either_means(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """Unregistering leaves nothing, may be repeated, and is no hindrance to registering again."""
    breaker = CircuitBreaker(name="a", redis=redis_server.url)
    register_circuit_breakers([breaker], registry=registry)
    unregister_circuit_breakers(registry=registry)
    unregister_circuit_breakers(registry=registry)
    assert Page(registry).families == {}

    collector = register_circuit_breakers([breaker], registry=registry)
    registry.unregister(collector)
    register_circuit_breakers([breaker], registry=registry)
    assert Page(registry).circuits() == {"a"}


def test_registries_are_apart(redis: Redis, redis_server: RedisServer) -> None:
    """Each registry may have its own collector."""
    first, second = CollectorRegistry(), CollectorRegistry()
    register_circuit_breakers([CircuitBreaker(name="a", redis=redis_server.url)], registry=first)
    register_circuit_breakers([CircuitBreaker(name="b", redis=redis_server.url)], registry=second)

    assert Page(first).circuits() == {"a"}
    assert Page(second).circuits() == {"b"}


def test_a_second_collector_in_one_registry_is_refused(
    redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """Who registers collectors by hand is told of the duplicate, instead of Prometheus at each scrape."""
    registry.register(CircuitBreakerCollector(redis=redis_server.url))

    with pytest.raises(ValueError, match="circuit_breaker_state"):
        registry.register(CircuitBreakerCollector(redis=redis_server.url))


def test_two_breakers_of_one_circuit_are_one_series(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """Two objects that name the same circuit are one circuit."""
    twins = [CircuitBreaker(name="a", redis=redis_server.url) for _ in range(2)]
    register_circuit_breakers(twins, registry=registry)

    page = Page(registry)

    assert page.value("circuit_breaker_state", name="a") == 0
    assert page.value("circuit_breaker_process_degraded", name="a") == 0


@pytest.mark.parametrize("other_first", [False, True])
def test_breakers_of_two_redis_stand_on_one_page(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry, other_first: bool
) -> None:
    """Each circuit is read where its breaker has it; one Redis that is away is none of the other's."""
    with RedisServer() as other:
        breakers = [
            CircuitBreaker(name="a", redis=redis_server.url, redis_timeout=5),
            CircuitBreaker(name="b", redis=other.url, redis_timeout=5),
        ]
        succeed(breakers[0], 1)
        succeed(breakers[1], 2)
        register_circuit_breakers(breakers[::-1] if other_first else breakers, registry=registry, timeout=5)

        page = Page(registry)
        assert page.value("circuit_breaker_calls_total", name="a", result="success") == 1
        assert page.value("circuit_breaker_calls_total", name="b", result="success") == 2

        other.stop()
        page = Page(registry)
        assert page.circuits() == {"a"}
        assert page.value("circuit_breaker_redis_up") == 0


@pytest.mark.parametrize(
    "settings",
    [{"redis": "nonsense://secret@host"}, {"prefix": "br{ace"}, {"timeout": 0}, {"redis": object()}],
)
def test_nonsense_is_refused_where_it_enters(settings: dict[str, object]) -> None:
    """A setting that makes no sense is a ValueError at once, without a password in it."""
    with pytest.raises(SettingsError) as caught:
        CircuitBreakerCollector(**settings)  # type: ignore[arg-type]

    assert "secret" not in str(caught.value)
