"""What a scrape shows of a healthy fleet: fixed names, every label value from the beginning, and no lies."""

from __future__ import annotations

import time
from typing import cast

import pytest
from prometheus_client import CollectorRegistry, Counter
from redis import Redis
from scraped import OPENMETRICS, Page, parsed

from guarded_calls import ServiceDownError, be_ignored, be_rejected, fail, succeed
from sharedbreaker import CircuitBreaker
from sharedbreaker.circuit.families import FAMILIES, FLEET
from sharedbreaker.circuit.state import TRANSITIONS
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.prometheus import register_circuit_breakers

FIXED = {
    "circuit_breaker_state": ("gauge", {"name"}),
    "circuit_breaker_calls": ("counter", {"name", "result"}),
    "circuit_breaker_success_rate": ("gauge", {"name"}),
    "circuit_breaker_state_transitions": ("counter", {"name", "transition"}),
}


def new_breaker(server: RedisServer, name: str = "orders") -> CircuitBreaker:
    return CircuitBreaker(3, 60, 2, ServiceDownError, name, redis=server.url, redis_timeout=5)


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry that asks who is registered for their names, as the default one does."""
    return CollectorRegistry(auto_describe=True)


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_fixed_families_have_their_names_types_and_labels(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry, accept: str
) -> None:
    """The four families are as specified, in either format, and everything else has the same prefix."""
    breaker = new_breaker(redis_server)
    succeed(breaker)
    register_circuit_breakers([breaker], registry=registry)

    families = Page(registry, accept).families

    for name, (kind, labels) in FIXED.items():
        assert families[name].type == kind
        assert {frozenset(sample.labels) for sample in families[name].samples} == {frozenset(labels)}
    assert all(name.startswith("circuit_breaker_") for name in families)


def test_content_type_is_negotiated(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """Who asks for OpenMetrics gets it, and all others get the text format."""
    register_circuit_breakers([new_breaker(redis_server)], registry=registry)

    assert Page(registry, OPENMETRICS).content_type.startswith("application/openmetrics-text")
    assert Page(registry, OPENMETRICS).text.endswith("# EOF\n")
    assert Page(registry).content_type.startswith("text/plain; version=0.0.4")


def test_uncalled_circuit_has_every_label_value_at_zero(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """A breaker that nobody has called is closed, with all results and transitions at 0 and no rate."""
    register_circuit_breakers([new_breaker(redis_server)], registry=registry, call_durations=True)

    page = Page(registry)

    assert page.value("circuit_breaker_state", name="orders") == 0
    assert {
        result: page.value("circuit_breaker_calls_total", result=result)
        for result in ("success", "failure", "rejected", "ignored")
    } == {"success": 0, "failure": 0, "rejected": 0, "ignored": 0}
    assert page.labels("circuit_breaker_state_transitions_total", "transition") == {
        transition.name for transition in TRANSITIONS
    }
    for name in ("lost_calls", "late_results", "released_calls"):
        assert page.value(f"circuit_breaker_{name}_total") == 0
    for name in ("calls_in_flight", "probes_in_flight", "current_failures", "current_successes"):
        assert page.value(f"circuit_breaker_{name}") == 0
    assert page.value("circuit_breaker_success_rate") is None
    assert page.labels("circuit_breaker_redis_duration_seconds_count", "step") == {"admit", "report", "other"}
    assert page.labels("circuit_breaker_call_duration_seconds_count", "outcome") == {
        "success", "failure", "ignored", "released",
    }  # fmt: skip
    assert not redis.exists("sharedbreaker:{orders}"), "looking must not make a circuit"


def test_figures_are_those_of_the_circuit(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """Counts, moments, calls in flight and configuration are what the hash holds."""
    breaker = new_breaker(redis_server)
    register_circuit_breakers([breaker], registry=registry)
    succeed(breaker, 4)
    be_ignored(breaker)
    breaker.admit()
    fail(breaker, 2)
    before = Page(registry)
    fail(breaker)
    be_rejected(breaker, 3)
    after = Page(registry)

    assert before.value("circuit_breaker_current_failures") == 2
    assert before.value("circuit_breaker_failure_threshold") == 3
    assert before.value("circuit_breaker_success_threshold") == 2
    assert before.value("circuit_breaker_calls_in_flight") == 1
    assert before.value("circuit_breaker_open_until_timestamp_seconds") is None
    assert after.value("circuit_breaker_state") == 2
    assert after.value("circuit_breaker_current_state", state="open") == 1
    assert after.value("circuit_breaker_current_state", state="closed") == 0
    assert after.value("circuit_breaker_calls_total", result="rejected") == 3
    assert after.value("circuit_breaker_success_rate") == pytest.approx(36.36)
    assert after.value("circuit_breaker_state_transitions_total", transition="closed_to_open") == 1
    fields = cast("dict[str, str]", redis.hgetall("sharedbreaker:{orders}"))
    for name, field in {
        "opened": "opened_at",
        "open_until": "open_until",
        "last_transition": "last_state_change",
        "last_failure": "last_failure_time",
    }.items():
        shown = after.value(f"circuit_breaker_{name}_timestamp_seconds")
        assert shown == pytest.approx(int(fields[field]) / 1000, abs=0.001), name
        assert shown == pytest.approx(time.time(), abs=120), name
    assert after.value("circuit_breaker_info", failure_threshold="3", open_timeout_ms="60000") == 1


def test_who_decides_is_shown(redis: Redis, redis_server: RedisServer, registry: CollectorRegistry) -> None:
    """A circuit that is held open by hand says so, and has no end of its opening."""
    breaker = new_breaker(redis_server)
    breaker.force_open("maintenance")
    register_circuit_breakers([breaker], registry=registry)

    page = Page(registry)

    assert page.value("circuit_breaker_mode", mode="held_open") == 1
    assert page.value("circuit_breaker_mode", mode="automatic") == 0
    assert page.value("circuit_breaker_open_until_timestamp_seconds") is None
    assert "maintenance" not in page.text


def test_core_and_collector_say_the_same(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """The exposition without any library has the same families, help texts and series as the collector."""
    breaker = new_breaker(redis_server)
    succeed(breaker)
    fail(breaker, 3)
    register_circuit_breakers([breaker], registry=registry)
    page = Page(registry)

    plain = parsed(breaker.export_prometheus_metrics())

    assert len(plain) == len(FAMILIES) + len(["circuit_breaker_redis_up"])
    for name, family in plain.items():
        served = page.families[name]
        assert (family.type, family.documentation) == (served.type, served.documentation)
        assert {
            (sample.name, frozenset(sample.labels.items()), sample.value) for sample in family.samples
        } == {(sample.name, frozenset(sample.labels.items()), sample.value) for sample in served.samples}


def test_help_says_how_to_aggregate(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """A family with a process in its labels is added up; all of the fleet's say that they are not."""
    register_circuit_breakers([new_breaker(redis_server)], registry=registry, call_durations=True)

    for family in Page(registry).families.values():
        labels = {label for sample in family.samples for label in sample.labels}
        if family.name in {shown.name.removesuffix("_total") for shown in FAMILIES}:
            assert FLEET in family.documentation
            assert "process" not in labels
        elif "process" in labels:
            assert "with sum" in family.documentation
        else:
            assert not labels


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_a_field_edited_by_hand_is_escaped(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry, accept: str
) -> None:
    """Quotes, backslashes and newlines in a setting come back as they are, from both writers."""
    breaker = new_breaker(redis_server)
    succeed(breaker)
    strange = 'a"b\\c\nd\N{PILE OF POO}'
    redis.hset("sharedbreaker:{orders}", "idle_ttl_ms", strange)
    register_circuit_breakers([breaker], registry=registry)

    assert Page(registry, accept).labels("circuit_breaker_info", "idle_ttl_ms") == {strange}
    plain = parsed(breaker.export_prometheus_metrics())["circuit_breaker_info"]
    assert plain.samples[0].labels["idle_ttl_ms"] == strange


def test_a_page_can_be_restricted(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """Asked for by name, one family is there and the others are not."""
    register_circuit_breakers([new_breaker(redis_server)], registry=registry)
    Counter("app_hits", "Hits of the app.", registry=registry)

    page = Page(registry, names=("circuit_breaker_state", "circuit_breaker_calls_total"))

    assert set(page.families) == {"circuit_breaker_state", "circuit_breaker_calls"}
    assert set(Page(registry, names=("app_hits_total",)).families) == {"app_hits"}
