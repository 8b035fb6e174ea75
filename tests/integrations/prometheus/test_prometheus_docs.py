"""What docs/metrics.md says, done."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from scraped import Page

from guarded_calls import succeed
from sharedbreaker import CircuitBreaker
from sharedbreaker.circuit.families import FAMILIES, FLEET
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.prometheus import (
    CircuitBreakerCollector,
    register_circuit_breakers,
    unregister_circuit_breakers,
)
from sharedbreaker.integrations.prometheus.own_process import OWN

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "metrics.md").read_text()


def test_every_family_is_documented() -> None:
    """The page's table has each family with its type, its scope and what its HELP says."""
    fleet = {family.name.removesuffix("_total") for family in FAMILIES}
    expected = []
    for family in CircuitBreakerCollector([], call_durations=True).describe():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        scope = "scrape"
        if family.name in fleet:
            scope = "fleet"
        elif OWN in family.documentation:
            scope = "process"
        says = family.documentation.replace(FLEET, "").replace(OWN, "").strip()
        expected.append((name, family.type, scope, says))

    found = re.findall(r"^\| `(circuit_breaker_\w+)` \| (\w+) \| (\w+) \| (.+) \|$", PAGE, re.MULTILINE)

    assert found == expected


def test_every_alert_is_documented() -> None:
    """The page's table has each alert."""
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alert_rules.yml").read_text())
    alerts = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]

    assert re.findall(r"^\| `(\w+)` \| [^|]+ \|$", PAGE, re.MULTILINE) == alerts


def test_the_example_serves_a_page(
    redis: Redis, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's example, run as it stands on another Redis, shows its circuit."""
    example = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    code = example[1].replace("redis://localhost:6379/0", redis_server.url)
    names: dict[str, object] = {}
    try:
        exec(compile(code, "docs/metrics.md", "exec"), names)  # noqa: S102 - our own example
        metrics = names["metrics"]
        assert callable(metrics)
        body, content_type = metrics("")
    finally:
        unregister_circuit_breakers()

    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    assert content_type.startswith("text/plain")
    assert families["circuit_breaker_state"].samples[0].labels == {"name": "orders"}


def test_the_documented_user_sees_everything(redis: Redis, redis_server: RedisServer) -> None:
    """A user with the rights that the page lists finds and reads every circuit, and can change none."""
    succeed(CircuitBreaker(name="orders", redis=redis_server.url, redis_timeout=5))
    line = re.search(r"^ACL SETUSER.*$", PAGE, re.MULTILINE)
    assert line is not None
    redis.execute_command(*line[0].split())
    registry = CollectorRegistry()
    url = f"redis://metrics:PASSWORD@127.0.0.1:{redis_server.port}"
    try:
        register_circuit_breakers(registry=registry, redis=url, timeout=5)
        Page(registry)
        page = Page(registry)
    finally:
        redis.execute_command("ACL", "DELUSER", "metrics")

    assert page.value("circuit_breaker_redis_up") == 1
    assert page.value("circuit_breaker_calls_total", name="orders", result="success") == 1
