"""Wild cases of metrics: pages that stay valid, honest and whole, whatever happens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from case_kinds import for_both_kinds
from flask import Flask
from prometheus_client import CollectorRegistry, Counter
from redis import Redis
from scraped import OPENMETRICS, Page, parsed, series_in
from verbs import command as command
from web_fixtures import Serve
from web_fixtures import serve as serve

import sharedbreaker
from circuit_in_redis import CircuitInRedis, fail, new_breaker, succeed
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
