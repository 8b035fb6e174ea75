"""Which circuits a scrape finds, and what it asks of Redis for that."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from redis import Redis
from scraped import Page, Turns

from guarded_calls import succeed
from sharedbreaker import CircuitBreaker, google_ai, initialize_circuit_breakers
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.prometheus import register_circuit_breakers

GOOGLE = {"google_ai_text_generation", "google_ai_vision", "google_ai_imagen"}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry(auto_describe=True)


@pytest.fixture(autouse=True)
def no_google_ai() -> Iterator[None]:
    """No Google AI breakers but those that a test makes."""
    before = google_ai.get_all_breakers()
    initialize_circuit_breakers({"circuit_breaker": {"enabled": False}})
    yield
    google_ai._breakers.update(before)


def call(server: RedisServer, *names: str, prefix: str = "sharedbreaker") -> None:
    for name in names:
        succeed(CircuitBreaker(name=name, redis=server.url, redis_timeout=5, prefix=prefix))


def commands(redis: Redis) -> dict[str, int]:
    """Commands that Redis ran since the last time, those of scripts included, and not ours."""
    told = redis.info("commandstats")
    assert isinstance(told, dict)
    counted = {name.removeprefix("cmdstat_"): int(figures["calls"]) for name, figures in told.items()}
    redis.config_resetstat()
    return {name: count for name, count in counted.items() if name not in {"info", "config|resetstat"}}


def test_circuits_of_processes_that_are_gone_are_found(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """Without a list of breakers every circuit of the fleet is shown, and new ones at the next scrape."""
    call(redis_server, "a", "b")
    register_circuit_breakers(registry=registry, redis=redis_server.url)

    assert Page(registry).circuits() == {"a", "b"}

    call(redis_server, "c")
    assert Page(registry).circuits() == {"a", "b", "c"}


def test_only_the_listed_ones_are_shown(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """With a list of breakers the fleet's others are left alone."""
    call(redis_server, "a", "b")
    register_circuit_breakers([CircuitBreaker(name="b", redis=redis_server.url)], registry=registry)

    assert Page(registry).circuits() == {"b"}


def test_an_empty_list_shows_none(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """A list without breakers is no wish for all of them."""
    call(redis_server, "a")
    register_circuit_breakers([], registry=registry, redis=redis_server.url)

    assert Page(registry).circuits() == set()


def test_google_ai_breakers_are_shown_when_they_are_there(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """They need no list, not even where they are initialized after the registration."""
    register_circuit_breakers(registry=registry)
    initialize_circuit_breakers({"redis": redis_server.url})
    call(redis_server, "another")

    page = Page(registry)

    assert page.circuits() == GOOGLE | {"another"}
    assert page.labels("circuit_breaker_process_degraded", "name") == GOOGLE
    assert page.value("circuit_breaker_failure_threshold", name="google_ai_imagen") == 3


def test_another_prefix_is_another_fleet(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """Only circuits under the prefix are shown."""
    call(redis_server, "mine", prefix="staging")
    call(redis_server, "theirs")
    register_circuit_breakers(registry=registry, redis=redis_server.url, prefix="staging")

    assert Page(registry).circuits() == {"mine"}


def test_a_deleted_circuit_is_gone(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """A circuit whose hash is deleted has no series, until somebody calls it again."""
    call(redis_server, "a", "b")
    register_circuit_breakers(registry=registry, redis=redis_server.url)
    Page(registry)
    redis.delete("sharedbreaker:{a}")

    assert Page(registry).circuits() == {"b"}

    redis.srem("sharedbreaker:breakers", "b")
    assert Page(registry).circuits() == set()


@pytest.mark.parametrize(
    "name", ['quo"te', "new\nline", "br{ace}", "back\\slash", "", "x" * 1000, b"\xed\xa0\x80"]
)
def test_a_foreign_name_in_the_list_is_left_out(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry, name: str | bytes
) -> None:
    """A name that no circuit can have spoils nothing, and is counted."""
    call(redis_server, "a")
    redis.sadd("sharedbreaker:breakers", name)
    register_circuit_breakers(registry=registry, redis=redis_server.url)

    page = Page(registry)

    assert page.circuits() == {"a"}
    assert page.value("circuit_breaker_unreadable_circuits") == 1
    assert page.value("circuit_breaker_redis_up") == 1


def test_a_key_of_another_type_costs_one_circuit(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """A circuit whose key holds something else is left out and named in the log; the others are there."""
    call(redis_server, "a", "b")
    redis.delete("sharedbreaker:{a}")
    redis.set("sharedbreaker:{a}", "somebody else's")
    register_circuit_breakers(registry=registry, redis=redis_server.url)
    caplog.set_level(logging.WARNING)

    page = Page(registry)
    Page(registry)

    assert page.circuits() == {"b"}
    assert page.value("circuit_breaker_unreadable_circuits") == 1
    assert page.value("circuit_breaker_redis_up") == 1
    lines = [record.getMessage() for record in caplog.records if "metrics" in record.getMessage()]
    assert len(lines) == 1
    assert "'a'" in lines[0]


def test_a_list_of_another_type_costs_no_known_circuit(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """Where the list cannot be read, the circuits found before are still read."""
    call(redis_server, "a")
    register_circuit_breakers(registry=registry, redis=redis_server.url)
    Page(registry)
    redis.delete("sharedbreaker:breakers")
    redis.set("sharedbreaker:breakers", "somebody else's")

    page = Page(registry)

    assert page.circuits() == {"a"}
    assert page.value("circuit_breaker_unreadable_circuits") == 1


def test_a_scrape_is_one_round_trip(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many circuits there are, Redis is waited for once; twice where a name is new."""
    names = [f"circuit-{number}" for number in range(30)]
    call(redis_server, *names)
    register_circuit_breakers(registry=registry, redis=redis_server.url, timeout=5)
    Page(registry)

    def turns() -> int:
        with monkeypatch.context() as patch:
            counted = Turns(patch)
            assert Page(registry).circuits() >= set(names)
        return counted.count

    assert turns() == 1
    assert turns() == 1
    call(redis_server, "one-more")
    assert turns() == 2
    assert turns() == 1
    redis.script_flush()
    assert turns() == 2
    assert turns() == 1


def test_listed_circuits_need_no_list_from_redis(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For breakers that are handed in, only their circuits are read, in one round trip."""
    breakers = [CircuitBreaker(name=name, redis=redis_server.url) for name in "abc"]
    register_circuit_breakers(breakers, registry=registry, timeout=5)
    Page(registry)
    commands(redis)

    with monkeypatch.context() as patch:
        turns = Turns(patch)
        assert Page(registry).circuits() == {"a", "b", "c"}

    assert turns.count == 1
    assert "smembers" not in commands(redis)


def test_a_scrape_only_reads_and_never_searches(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """Among many foreign keys a scrape runs one script for each circuit and asks for the list once."""
    call(redis_server, "a", "b")
    redis.mset({f"foreign:{number}": "x" for number in range(1000)})
    register_circuit_breakers(registry=registry, redis=redis_server.url)
    Page(registry)
    commands(redis)

    Page(registry)

    ran = commands(redis)
    assert ran.pop("smembers") == 1
    assert ran.pop("evalsha") == 2
    assert set(ran) <= {"time", "hgetall", "hget", "zcount", "zscore"}
    for key in redis.scan_iter("foreign:*"):
        redis.delete(key)
