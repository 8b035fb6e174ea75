"""Prometheus' text exposition: fixed families, names, labels and values, valid for its own parser."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

import sharedbreaker
from circuit_in_redis import OPEN_MS, be_ignored, be_rejected, fail, new_breaker, succeed, trip
from sharedbreaker import CircuitBreaker, google_ai

FAMILIES = {
    "circuit_breaker_state": "gauge",
    "circuit_breaker_calls": "counter",
    "circuit_breaker_success_rate": "gauge",
    "circuit_breaker_state_transitions": "counter",
}


def parsed(text: str) -> dict[str, Metric]:
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    return {family.name: family for family in families}


def samples(text: str, name: str, label: str | None = None) -> dict[str, float]:
    """Value by the label's value, or by the circuit's name."""
    return {
        sample.labels[label or "name"]: sample.value
        for family in parsed(text).values()
        for sample in family.samples
        if sample.name == name
    }


def export(breaker: CircuitBreaker) -> str:
    text = breaker.export_prometheus_metrics()
    assert isinstance(text, str)
    return text


@pytest.fixture
def three(redis: Redis) -> Iterator[dict[str, CircuitBreaker | None]]:
    before = google_ai.get_all_breakers()
    sharedbreaker.initialize_circuit_breakers({"redis": redis})
    yield sharedbreaker.get_all_breakers()
    google_ai._breakers.update(before)


def test_families_are_the_fixed_ones(redis: Redis) -> None:
    """The four families have their names and types, and whatever is added begins with circuit_breaker_."""
    breaker = new_breaker(redis)
    succeed(breaker)

    families = parsed(export(breaker))

    assert {name: families[name].type for name in FAMILIES} == FAMILIES
    assert all(name.startswith("circuit_breaker_") for name in families)


def test_text_ends_with_a_newline_and_has_help_for_every_family(redis: Redis) -> None:
    """Each family has one HELP and one TYPE line before its samples, and the last line is ended."""
    text = export(new_breaker(redis))

    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    words = [line.split()[1:3] for line in text.splitlines() if line.startswith("#")]
    counted = Counter(tuple(pair) for pair in words)
    assert set(counted.values()) == {1}
    assert {name for kind, name in counted if kind == "HELP"} == {
        name for kind, name in counted if kind == "TYPE"
    }
    assert all(parsed(text)[name].documentation for name in FAMILIES)


@pytest.mark.parametrize(("state", "value"), [("closed", 0), ("half_open", 1), ("open", 2)])
def test_state_is_a_number(redis: Redis, state: str, value: int) -> None:
    """The state is 0 when closed, 1 when half-open and 2 when open."""
    breaker = new_breaker(redis)
    succeed(breaker)
    if state != "closed":
        circuit = trip(breaker, redis)
    if state == "half_open":
        circuit.elapse(OPEN_MS)
        succeed(breaker)

    assert samples(export(breaker), "circuit_breaker_state") == {"orders": value}


def test_open_circuit_whose_time_is_over_is_exported_as_open(redis: Redis) -> None:
    """Nobody has called it yet, so it is still 2."""
    breaker = new_breaker(redis)
    trip(breaker, redis).elapse(OPEN_MS)

    assert samples(export(breaker), "circuit_breaker_state") == {"orders": 2}


def test_calls_are_counted_by_result(redis: Redis) -> None:
    """Each result has its own sample, also where it is 0."""
    breaker = new_breaker(redis)
    assert samples(export(breaker), "circuit_breaker_calls_total", "result") == {
        "success": 0,
        "failure": 0,
        "rejected": 0,
        "ignored": 0,
    }
    succeed(breaker, 5)
    be_ignored(breaker, 2)
    fail(breaker, 3)
    be_rejected(breaker)

    assert samples(export(breaker), "circuit_breaker_calls_total", "result") == {
        "success": 5,
        "failure": 3,
        "rejected": 1,
        "ignored": 2,
    }


def test_transitions_are_counted_by_name(redis: Redis) -> None:
    """Each transition has its own sample from the beginning."""
    breaker = new_breaker(redis)
    trip(breaker, redis).elapse(OPEN_MS)
    succeed(breaker, 2)

    assert samples(export(breaker), "circuit_breaker_state_transitions_total", "transition") == {
        "closed_to_open": 1,
        "open_to_half_open": 1,
        "half_open_to_closed": 1,
        "half_open_to_open": 0,
        "open_to_closed": 0,
    }


def test_rate_without_calls_is_left_out(redis: Redis) -> None:
    """An idle breaker has no success rate, so that no alert on a low one fires."""
    breaker = new_breaker(redis)
    assert samples(export(breaker), "circuit_breaker_success_rate") == {}

    succeed(breaker, 3)
    fail(breaker)

    assert samples(export(breaker), "circuit_breaker_success_rate") == {"orders": 75.0}


def test_all_three_stand_in_one_valid_exposition(three: dict[str, CircuitBreaker | None]) -> None:
    """The export of all three has each family once, with one sample for each circuit."""
    for breaker in three.values():
        assert breaker is not None
        succeed(breaker)

    text = sharedbreaker.export_all_prometheus_metrics()

    names = {"google_ai_text_generation", "google_ai_vision", "google_ai_imagen"}
    assert set(samples(text, "circuit_breaker_state")) == names
    assert set(samples(text, "circuit_breaker_success_rate")) == names
    assert (
        text.count("# TYPE circuit_breaker_calls_total ") + text.count("# TYPE circuit_breaker_calls ") == 1
    )


def test_all_metrics_are_those_of_the_three(three: dict[str, CircuitBreaker | None]) -> None:
    """get_all_metrics has get_metrics of each under its key."""
    vision = three["vision"]
    assert vision is not None
    succeed(vision)

    metrics = sharedbreaker.get_all_metrics()

    assert list(metrics) == ["text_generation", "vision", "imagen"]
    assert metrics["vision"]["successful_calls"] == 1
    assert metrics["imagen"]["total_calls"] == 0


def test_export_without_breakers_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    """With breakers not enabled the exposition is valid and has no sample."""
    before = google_ai.get_all_breakers()
    sharedbreaker.initialize_circuit_breakers({"circuit_breaker": {"enabled": False}})

    families = parsed(sharedbreaker.export_all_prometheus_metrics())

    assert not [sample for family in families.values() for sample in family.samples]
    google_ai._breakers.update(before)


@pytest.mark.parametrize("name", ["a/b:c.d-e_f", "x" * 128, "0"])
def test_names_need_no_escaping(redis: Redis, name: str) -> None:
    """The label holds the circuit's name to the letter."""
    assert set(samples(export(new_breaker(redis, name=name)), "circuit_breaker_state")) == {name}
