"""Scrape configuration, rules and expositions, as promtool judges them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from prometheus_client import CollectorRegistry
from real_prometheus import DEPLOY, promtool
from redis import Redis

import sharedbreaker
from guarded_calls import ServiceDownError, fail, succeed
from sharedbreaker import CircuitBreaker, google_ai
from sharedbreaker.circuit.families import FAMILIES
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.prometheus import metrics_page, register_circuit_breakers

RULES = ("recording_rules.yml", "alert_rules.yml")
TESTS = ("recording_rules_test.yml", "alert_rules_test.yml")


def loaded(path: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", yaml.safe_load(path.read_text()))


def alerts() -> list[dict[str, Any]]:
    return [rule for group in loaded(DEPLOY / "alert_rules.yml")["groups"] for rule in group["rules"]]


def records() -> list[dict[str, Any]]:
    return [rule for group in loaded(DEPLOY / "recording_rules.yml")["groups"] for rule in group["rules"]]


@pytest.fixture
def breaker(redis: Redis, redis_server: RedisServer) -> CircuitBreaker:
    breaker = CircuitBreaker(
        3, expected_exception=ServiceDownError, name="orders", redis=redis_server.url, redis_timeout=5
    )
    succeed(breaker, 3)
    fail(breaker, 3)
    return breaker


@pytest.fixture
def google(redis: Redis, redis_server: RedisServer) -> Iterator[None]:
    before = google_ai.get_all_breakers()
    sharedbreaker.initialize_circuit_breakers({"redis": redis_server.url})
    yield
    google_ai._breakers.update(before)


def check_exposition(text: str) -> None:
    result = promtool("check", "metrics", text=text)
    assert result.returncode == 0, result.stdout + result.stderr


def test_configuration_and_rules_are_valid() -> None:
    """The scrape configuration and every rule file that it names are accepted."""
    config = promtool("check", "config", DEPLOY / "prometheus.yml")
    assert config.returncode == 0, config.stdout + config.stderr

    rules = promtool("check", "rules", *(DEPLOY / name for name in RULES))
    assert rules.returncode == 0, rules.stdout + rules.stderr
    assert set(loaded(DEPLOY / "prometheus.yml")["rule_files"]) == set(RULES)


@pytest.mark.parametrize("name", TESTS)
def test_rules_pass_their_unit_tests(name: str) -> None:
    """Each rule does what its unit tests say."""
    result = promtool("test", "rules", DEPLOY / name)

    assert result.returncode == 0, result.stdout + result.stderr


def is_noticed(
    folder: Path, file: str, expression: str, test: str, about: str | None = None, **changes: Any
) -> bool:
    """Whether the unit tests fail when one rule is another one."""
    for path in DEPLOY.glob("*.yml"):
        shutil.copy(path, folder)
    document = loaded(folder / file)
    for group in document["groups"]:
        for rule in group["rules"]:
            if rule["expr"] == expression:
                rule.update(changes)
    (folder / file).write_text(yaml.safe_dump(document))
    cases = loaded(folder / test)
    # The others need not run again; they are slow together.
    cases["tests"] = [case for case in cases["tests"] if about is None or about in str(case)]
    (folder / test).write_text(yaml.safe_dump(cases))
    return promtool("test", "rules", folder / test).returncode != 0


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_every_alert_is_tested_for_firing_and_for_not_firing(tmp_path: Path, alert: dict[str, Any]) -> None:
    """The unit tests notice an alert that never fires, one that always does, and one that does not wait."""
    noticed = partial(
        is_noticed, tmp_path, "alert_rules.yml", alert["expr"], "alert_rules_test.yml", alert["alert"]
    )

    assert not noticed()
    assert noticed(expr="vector(1) == 2")
    assert noticed(expr="vector(1)", **{"for": "0s"})
    if "for" in alert:
        assert noticed(**{"for": "0s"})
        assert noticed(**{"for": "1d"})


@pytest.mark.parametrize("record", records(), ids=lambda record: record["record"])
def test_a_sum_over_targets_is_noticed(tmp_path: Path, record: dict[str, Any]) -> None:
    """The unit tests notice a rule that counts the fleet once for each target, or counts nothing."""
    expression = record["expr"]
    file, test = "recording_rules.yml", "recording_rules_test.yml"

    assert is_noticed(tmp_path, file, expression, test, expr="vector(1) == 2")
    if "max by" in expression and record["record"] != "circuit_breaker:state:max":
        assert is_noticed(tmp_path, file, expression, test, expr=expression.replace("max by", "sum by"))


def test_plain_exposition_is_accepted(breaker: CircuitBreaker) -> None:
    """What one breaker exports is valid."""
    check_exposition(breaker.export_prometheus_metrics())


def test_plain_exposition_of_all_is_accepted(google: None) -> None:
    """What all three export together is valid, with each family once."""
    text = sharedbreaker.export_all_prometheus_metrics()

    check_exposition(text)
    for family in FAMILIES:
        assert text.count(f"# HELP {family.name} ") == text.count(f"# TYPE {family.name} ") == 1


def test_collector_page_is_accepted(breaker: CircuitBreaker) -> None:
    """What the collector serves is valid, its histograms included."""
    registry = CollectorRegistry()
    register_circuit_breakers([breaker], registry=registry, call_durations=True)

    check_exposition(metrics_page(registry=registry)[0].decode())


def test_a_broken_exposition_is_not_accepted(breaker: CircuitBreaker) -> None:
    """Promtool would say so: a label that is not ended is refused."""
    text = breaker.export_prometheus_metrics().replace('name="orders"', 'name="orders', 1)

    assert promtool("check", "metrics", text=text).returncode != 0
