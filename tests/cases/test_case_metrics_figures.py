"""Wild cases of metrics: figures that mean what they say, and are found without a search."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml
from case_kinds import for_both_kinds, strict_and_stale
from flask import Flask
from prometheus_client import CollectorRegistry, Counter
from real_prometheus import DEPLOY, ROOT, promtool
from redis import Redis
from scraped import Page, parsed, series_in
from stale_circuits import unwritten, wait_until
from topology_cluster import running_cluster
from verbs import CommandLine
from verbs import command as command
from web_fixtures import Serve
from web_fixtures import serve as serve

from circuit_in_redis import be_ignored, be_rejected, fail, new_breaker, succeed
from sharedbreaker import CircuitBreaker
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.prometheus import (
    register_circuit_breakers,
)
from sharedbreaker.integrations.web import BreakerSite
from sharedbreaker.integrations.web.flask import blueprint_of


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=True)
    Counter("app_hits", "Hits of the app.", registry=registry).inc(7)
    return registry


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def rates_of(metrics: dict[str, Any]) -> list[float | None]:
    return [metrics[f"{kind}_rate_percent"] for kind in ("success", "failure", "rejection")]


def never_called(_breaker: CircuitBreaker) -> None:
    pass


def once_rejected(breaker: CircuitBreaker) -> None:
    breaker.force_open()
    be_rejected(breaker)


@for_both_kinds
@strict_and_stale
@pytest.mark.parametrize(
    ("calls", "rates"),
    [
        (never_called, [None, None, None]),
        (succeed, [100.0, 0.0, 0.0]),
        (fail, [0.0, 100.0, 0.0]),
        (once_rejected, [0.0, 0.0, 100.0]),
        (be_ignored, [0.0, 0.0, 0.0]),
    ],
    ids=["none", "success", "failure", "rejected", "ignored"],
)
def test_sb090_rates_of_no_call_and_of_one(
    redis: Redis, registry: CollectorRegistry, max_staleness: float, calls: Any, rates: list[float | None]
) -> None:
    """None where there was no call, in percent of all calls else; the same as JSON, and absent on a page."""
    breaker = new_breaker(redis, max_staleness=max_staleness)
    calls(breaker)
    wait_until(lambda: unwritten(breaker) == 0, "what was held back is written")
    metrics = breaker.get_metrics()

    assert rates_of(metrics) == rates
    assert rates_of(json.loads(json.dumps(metrics, allow_nan=False))) == rates
    exported = series_in(parsed(breaker.export_prometheus_metrics()))
    rate = exported.get(("circuit_breaker_success_rate", frozenset({("name", "orders")})))
    assert rate == rates[0]
    assert not [value for value in exported.values() if math.isnan(value) or value < 0]


@for_both_kinds
@strict_and_stale
def test_sb090_parts_add_up_whenever_somebody_looks(redis: Redis, max_staleness: float) -> None:
    """While others call, each look is one instant: the parts are the total, and no rate is out of bounds."""
    breaker = new_breaker(redis, max_staleness=max_staleness, failure_threshold=1000)
    with ThreadPoolExecutor(2) as threads:
        done = [threads.submit(call, breaker, 60) for call in (succeed, be_ignored)]
        looks = [breaker.get_metrics()]
        while not all(each.done() for each in done):
            looks.append(breaker.get_metrics())
        for each in done:
            each.result()

    for look in looks:
        parts = [look[f"{kind}_calls"] for kind in ("successful", "failed", "rejected", "ignored")]
        assert look["total_calls"] == sum(parts)
        assert all(rate is None or 0 <= rate <= 100 for rate in rates_of(look))


def test_sb090_health_of_an_idle_circuit_is_valid_json(redis: Redis, serve: Serve) -> None:
    """/api/health has null for a rate that there is not, and no NaN, which no other parser takes."""
    answer = serve(BreakerSite([CircuitBreaker(name="orders", redis=redis)])).get("/api/health")

    assert b"NaN" not in answer.body
    assert answer.document["circuit_breakers"]["orders"]["success_rate"] is None


def test_sb091_what_three_pods_show_is_counted_once(redis: Redis, redis_server: RedisServer) -> None:
    """Each rule that ships gives the fleet's figure however many targets show it: Prometheus says so."""
    rules = [DEPLOY / "recording_rules.yml", DEPLOY / "recording_rules_test.yml"]
    series = [shown["series"] for shown in yaml.safe_load(rules[1].read_text())["tests"][0]["input_series"]]
    assert len({target for shown in series for target in re.findall(r'instance="(\w+)"', shown)}) >= 2

    assert promtool("test", "rules", rules[1]).returncode == 0


OF_A_PROCESS = "process_|redis_|failed_scrapes|call_duration"
SUM_OF_FLEET = re.compile(
    rf"sum(?: by \([^)]*\))?\s*\(\s*(?:rate|increase)?\(?\s*circuit_breaker_(?!{OF_A_PROCESS})"
)


@pytest.mark.parametrize(
    "file",
    [
        "deploy/prometheus/recording_rules.yml",
        "deploy/prometheus/alert_rules.yml",
        "deploy/grafana/dashboards/circuit_breakers.json",
        "docs/metrics.md",
        "README.md",
    ],
)
def test_sb091_no_example_adds_up_what_all_pods_share(file: str) -> None:
    """Rules, panels and docs never sum a family of the fleet over targets."""
    assert SUM_OF_FLEET.search("sum by (name) (rate(circuit_breaker_calls_total[5m]))")
    assert not SUM_OF_FLEET.findall((ROOT / file).read_text())


def test_sb091_help_and_labels_tell_the_fleet_from_a_process(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """A family of the fleet says so in its HELP; one of a process is told apart by a label."""
    breaker = CircuitBreaker(name="orders", redis=redis_server.url, redis_timeout=5)
    succeed(breaker)
    register_circuit_breakers([breaker], registry=registry)
    page = Page(registry)

    for family in page.families.values():
        if not family.name.startswith("circuit_breaker") or not family.samples:
            continue
        labels = {label for sample in family.samples for label in sample.labels}
        of_fleet = "max by (name)" in family.documentation
        assert of_fleet != ("process" in labels or "name" not in labels), family.name


def commands_of(redis: Redis) -> dict[str, int]:
    told = redis.info("commandstats")
    assert isinstance(told, dict)
    return {name.removeprefix("cmdstat_"): int(figures["calls"]) for name, figures in told.items()}


def test_sb094_nobody_searches_the_keyspace_for_circuits(
    own_server: RedisServer, registry: CollectorRegistry
) -> None:
    """Among a million foreign keys a scrape, the page and the command line read the list and the circuits."""
    client = own_server.client()
    for first in range(0, 1_000_000, 50_000):
        client.eval("for n = 1, 50000 do redis.call('SET', 'foreign:' .. ARGV[1] + n, '') end", 0, first)
    assert client.dbsize() == 1_000_000
    names = {f"circuit-{number}" for number in range(20)}
    for name in names:
        succeed(CircuitBreaker(name=name, redis=own_server.url, redis_timeout=5))
    register_circuit_breakers(redis=own_server.url, registry=registry, timeout=5)
    assert Page(registry).circuits() == names
    client.config_resetstat()

    assert Page(registry).circuits() == names
    ran = commands_of(client)
    assert (ran["smembers"], ran["evalsha"]) == (1, 20)

    page = BreakerSite(redis=own_server.url, whole_fleet=True, timeout=5)
    app = Flask("ops")
    app.register_blueprint(blueprint_of(page))
    live = app.test_client().get("/api/circuit-breakers/live").json
    assert live is not None
    assert {circuit["name"] for circuit in live["circuits"]} == names
    line = CommandLine(own_server.url)
    assert {circuit["name"] for circuit in line("status", "--json").json["circuits"]} == names
    assert line("watch", "--count", "2", "--interval", "0.05").exit_code == 0
    assert not {"keys", "scan"} & commands_of(client).keys()
    client.close()


def test_sb094_none_is_missing_on_a_cluster(registry: CollectorRegistry) -> None:
    """Circuits on every master are on the page, by one question each and without a search on any node."""
    with running_cluster() as cluster:
        client = cluster.client()
        names = {name for master in range(3) for name in cluster.names_on(master, 2)}
        for name in names:
            succeed(CircuitBreaker(name=name, redis=client, redis_timeout=5))
        register_circuit_breakers(redis=client, registry=registry, timeout=5)
        Page(registry)
        for node in cluster.nodes:
            node.config_resetstat()

        assert Page(registry).circuits() == names
        ran = [commands_of(node) for node in cluster.nodes]
        client.close()

    assert [node["evalsha"] for node in ran] == [2, 2, 2]
    assert not [node for node in ran if {"keys", "scan"} & node.keys()]


@pytest.mark.parametrize("name", ["google:vision", "a:b:c", "orders:leases", "v1.0/orders", "breakers"])
def test_peer_a_name_with_colons_is_listed_as_it_is(
    redis: Redis, command: CommandLine, registry: CollectorRegistry, name: str
) -> None:
    """Names are read from the list and never cut out of keys."""
    succeed(new_breaker(redis, name=name))
    register_circuit_breakers(redis=redis, registry=registry)

    assert Page(registry).circuits() == {name}
    assert [circuit["name"] for circuit in command("status", "--json").json["circuits"]] == [name]
