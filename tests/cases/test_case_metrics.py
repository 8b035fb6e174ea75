"""Wild cases of metrics: pages that stay valid, honest and whole, whatever happens."""

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
from scraped import OPENMETRICS, Page, parsed, series_in
from stale_circuits import unwritten, wait_until
from verbs import CommandLine
from verbs import command as command
from web_fixtures import Serve
from web_fixtures import serve as serve

import sharedbreaker
from circuit_in_redis import CircuitInRedis, be_ignored, be_rejected, fail, new_breaker, succeed
from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, Operator, SettingsError, google_ai
from sharedbreaker.circuit.families import FAMILIES
from sharedbreaker.demo.redis_server import RedisServer, free_port
from sharedbreaker.integrations.prometheus import (
    metrics_page,
    register_circuit_breakers,
    unregister_circuit_breakers,
)
from sharedbreaker.integrations.web import BreakerSite
from sharedbreaker.integrations.web.flask import blueprint_of

NAMES_OF_NONE = ['quo"te', "back\\slash", "new\nline", "emoji 🙂", "\ud800", "x" * 1024, "nul\0", "tab\t"]
FLEET = {family.name for family in FAMILIES}


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=True)
    Counter("app_hits", "Hits of the app.", registry=registry).inc(7)
    return registry


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def test_sb085_an_app_that_is_made_three_times_has_each_series_once(
    redis: Redis, redis_server: RedisServer
) -> None:
    """A factory that registers in the usual registry may run again, and the page is valid."""
    try:
        for _ in range(3):
            app = Flask("shop")
            breakers = [CircuitBreaker(name=name, redis=redis_server.url) for name in ("orders", "orders")]
            register_circuit_breakers(breakers)
            app.register_blueprint(blueprint_of(BreakerSite(breakers)))
            answer = app.test_client().get("/metrics")
            families = parsed(answer.text, answer.headers["Content-Type"])
            assert [sample.labels for sample in families["circuit_breaker_state"].samples] == [
                {"name": "orders"}
            ]
    finally:
        unregister_circuit_breakers()


def test_sb085_registries_are_apart_and_a_registration_can_end(
    redis: Redis, redis_server: RedisServer, registry: CollectorRegistry
) -> None:
    """Two registries show it each; one that is unregistered shows it no more, and may register again."""
    other = CollectorRegistry()
    for each in (registry, other):
        register_circuit_breakers([CircuitBreaker(name="orders", redis=redis_server.url)], registry=each)
    unregister_circuit_breakers(registry=registry)

    assert Page(other).circuits() == {"orders"}
    assert Page(registry).circuits() == set()
    register_circuit_breakers([CircuitBreaker(name="again", redis=redis_server.url)], registry=registry)
    assert Page(registry).circuits() == {"again"}


@pytest.mark.parametrize("name", NAMES_OF_NONE, ids=ascii)
def test_sb086_a_name_that_a_label_cannot_take_is_refused(name: str) -> None:
    """Whoever makes or takes in hand a circuit is told at once that its name is none."""
    for make in (CircuitBreaker, AsyncCircuitBreaker, Operator):
        with pytest.raises(SettingsError, match="name must be"):
            make(name=name, redis="redis://127.0.0.1:1")


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
@pytest.mark.parametrize("has_library", [True, False])
def test_sb086_a_name_that_somebody_else_listed_spoils_no_page(
    redis: Redis, serve: Serve, monkeypatch: pytest.MonkeyPatch, has_library: bool, accept: str
) -> None:
    """In either format, with prometheus-client and without, such a name in the list costs no other series."""
    succeed(new_breaker(redis))
    for name in NAMES_OF_NONE:
        redis.sadd("sharedbreaker:breakers", name.encode("utf-8", "surrogatepass"))
    with monkeypatch.context() as patch:
        if not has_library:
            patch.setattr("importlib.util.find_spec", lambda _name: None)
        site = BreakerSite(redis=redis, whole_fleet=True)

    answer = serve(site).get("/metrics", accept=accept)

    families = parsed(answer.body.decode(), answer.headers["content-type"])
    assert [sample.labels["name"] for sample in families["circuit_breaker_state"].samples] == ["orders"]


@for_both_kinds
def test_sb086_fields_that_somebody_else_wrote_spoil_no_page(
    redis: Redis, registry: CollectorRegistry
) -> None:
    """Whatever stands in the hash, a quote, a backslash or no text at all, both pages can be parsed."""
    breaker = new_breaker(redis)
    succeed(breaker)
    circuit = CircuitInRedis(redis)
    register_circuit_breakers(redis=redis, registry=registry)
    for field in circuit.fields():
        redis.hset(circuit.key, field, b'\xff"\\\n{x="1"} 7\n')

    pages = (Page(registry).series, series_in(parsed(breaker.export_prometheus_metrics())))

    for series in pages:
        assert ("circuit_breaker_state", frozenset({("name", "orders")})) in series
    succeed(breaker)


@pytest.mark.parametrize("trouble", ["stop", "freeze"])
@pytest.mark.parametrize("way", ["metrics_page", "BreakerSite"])
def test_sb087_the_page_of_an_app_outlives_redis(
    own_server: RedisServer, registry: CollectorRegistry, way: str, trouble: str
) -> None:
    """200, with the app's own metrics, up 0, no series of any circuit, and one failed scrape more."""
    breaker = CircuitBreaker(name="orders", redis=own_server.url, redis_timeout=0.2)
    succeed(breaker)
    register_circuit_breakers([breaker], registry=registry, timeout=0.2)
    app = Flask("shop")
    app.add_url_rule("/metrics", view_func=lambda: metrics_page(registry=registry)[0])
    if way == "BreakerSite":
        app.register_blueprint(blueprint_of(BreakerSite([breaker], timeout=0.2)), url_prefix="/ops")
    path = "/metrics" if way == "metrics_page" else "/ops/metrics"
    assert 'circuit_breaker_state{name="orders"} 0' in app.test_client().get(path).text

    getattr(own_server, trouble)()
    answers = [app.test_client().get(path) for _ in range(2)]

    for answer in answers:
        assert answer.status_code == 200
        series = series_in(parsed(answer.text))
        assert series["circuit_breaker_redis_up", frozenset()] == 0
        assert not [name for name, _ in series if name in FLEET]
        assert way == "BreakerSite" or series["app_hits_total", frozenset()] == 7
    failures = [
        value
        for answer in answers
        for (name, _), value in series_in(parsed(answer.text)).items()
        if name == "circuit_breaker_failed_scrapes_total"
    ]
    assert failures == [1, 2]


@for_both_kinds
@pytest.mark.parametrize("all_of_them", [False, True])
def test_sb087_text_written_without_a_library_says_that_redis_is_away(all_of_them: bool) -> None:
    """A page that an app writes itself is there without Redis: up 0, and neither old figures nor zeros.

    Failed at first: export_prometheus_metrics and export_all_prometheus_metrics raised StoreError, so that
    an app that wrote them among its other metrics answered 500 or 503.
    """
    url = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    breaker = new_breaker(url)
    fail(breaker, 3)
    before = google_ai.get_all_breakers()
    sharedbreaker.initialize_circuit_breakers({"redis": url})
    try:
        export = sharedbreaker.export_all_prometheus_metrics
        text = export() if all_of_them else breaker.export_prometheus_metrics()
    finally:
        google_ai._breakers.update(before)

    series = series_in(parsed(text))
    assert series == {("circuit_breaker_redis_up", frozenset()): 0}
    assert "hunter2" not in text


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
    """Among many foreign keys, a scrape, the web page and the command line read the list and the circuits."""
    client = own_server.client()
    client.mset({f"foreign:{number}": "" for number in range(100_000)})
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


@pytest.mark.parametrize("name", ["google:vision", "a:b:c", "orders:leases", "v1.0/orders", "breakers"])
def test_peer_a_name_with_colons_is_listed_as_it_is(
    redis: Redis, command: CommandLine, registry: CollectorRegistry, name: str
) -> None:
    """Names are read from the list and never cut out of keys."""
    succeed(new_breaker(redis, name=name))
    register_circuit_breakers(redis=redis, registry=registry)

    assert Page(registry).circuits() == {name}
    assert [circuit["name"] for circuit in command("status", "--json").json["circuits"]] == [name]
