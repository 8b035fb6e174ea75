"""What the site tells, through both shells."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from web_fixtures import Serve
from web_fixtures import serve as serve
from web_servers import Client

from guarded_calls import ServiceDownError, fail, service_down, succeed
from sharedbreaker import (
    AsyncCircuitBreaker,
    CircuitBreaker,
    Operator,
    get_all_metrics,
    get_vision_api_breaker,
    initialize_circuit_breakers,
    observation,
)
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.http_rejection import retry_after_seconds
from sharedbreaker.integrations.prometheus import register_circuit_breakers, unregister_circuit_breakers
from sharedbreaker.integrations.web import BreakerSite, Request


@pytest.fixture
def google(redis: Redis) -> Iterator[None]:
    """The three breakers of Google AI."""
    initialize_circuit_breakers({"redis": redis})
    yield
    initialize_circuit_breakers({"circuit_breaker": {"enabled": False}})


def is_utc(moment: str) -> bool:
    return datetime.fromisoformat(moment).utcoffset() == timedelta(0)


def test_figures_are_those_of_get_all_metrics(google: None, serve: Serve) -> None:
    """/api/circuit-breakers/metrics has success, a UTC timestamp, and the dict of get_all_metrics()."""
    vision = get_vision_api_breaker()
    assert vision is not None
    succeed(vision)
    answer = serve(BreakerSite()).get("/api/circuit-breakers/metrics")
    document = answer.document
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert document.keys() == {"success", "breakers", "timestamp"}
    assert document["success"] is True
    assert is_utc(document["timestamp"])
    expected = get_all_metrics()
    for key, figures in document["breakers"].items():
        figures.pop("uptime_seconds")
        expected[key].pop("uptime_seconds")
        assert figures == expected[key]
    assert list(document["breakers"]) == ["text_generation", "vision", "imagen"]


def test_health_is_200_while_all_are_closed_and_503_otherwise(
    google: None, redis: Redis, serve: Serve
) -> None:
    """/api/health says healthy or degraded, with state, is_healthy and success_rate of each breaker."""
    client = serve(BreakerSite())
    healthy = client.get("/api/health")
    assert (healthy.status, healthy.document["status"]) == (200, "healthy")
    vision = get_vision_api_breaker()
    assert vision is not None
    vision.force_open()
    degraded = client.get("/api/health")
    assert (degraded.status, degraded.document["status"]) == (503, "degraded")
    assert degraded.document.keys() == {"status", "circuit_breakers", "timestamp"}
    assert is_utc(degraded.document["timestamp"])
    assert degraded.document["circuit_breakers"] == {
        "text_generation": {"state": "closed", "is_healthy": True, "success_rate": None},
        "vision": {"state": "open", "is_healthy": False, "success_rate": None},
        "imagen": {"state": "closed", "is_healthy": True, "success_rate": None},
    }


@pytest.mark.parametrize("kind", [CircuitBreaker, AsyncCircuitBreaker])
def test_given_breakers_are_shown_by_name_and_others_of_the_fleet_are_not(
    redis: Redis, serve: Serve, kind: type[CircuitBreaker | AsyncCircuitBreaker]
) -> None:
    """A site of two breakers answers for these two, by their names, whoever else is in trouble."""
    CircuitBreaker(name="of-others", redis=redis).force_open()
    client = serve(BreakerSite([kind(name="one", redis=redis), kind(name="two/b", redis=redis)]))
    assert list(client.get("/api/circuit-breakers/metrics").document["breakers"]) == ["one", "two/b"]
    assert client.get("/api/health").status == 200
    live = client.get("/api/circuit-breakers/live").document
    assert [circuit["name"] for circuit in live["circuits"]] == ["of-others", "one", "two/b"]


def test_a_site_of_the_whole_fleet_needs_no_breakers(redis: Redis, serve: Serve) -> None:
    """With whole_fleet, what Redis lists is answered for, under its names."""
    CircuitBreaker(name="of-others", redis=redis).force_open()
    client = serve(BreakerSite(redis=redis, whole_fleet=True))
    assert client.get("/api/circuit-breakers/metrics").document["breakers"]["of-others"]["is_failing"]
    assert client.get("/api/health").status == 503


@pytest.mark.parametrize("has_library", [True, False])
def test_metrics_is_one_valid_exposition(
    redis: Redis, serve: Serve, monkeypatch: pytest.MonkeyPatch, has_library: bool
) -> None:
    """/metrics has the specified families of the site's breakers, with prometheus-client and without."""
    if not has_library:
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    breaker = CircuitBreaker(name="one", redis=redis)
    succeed(breaker)
    breaker.force_open()
    site = BreakerSite([breaker])
    monkeypatch.undo()
    answer = serve(site).get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
    state = families["circuit_breaker_state"].samples
    assert [(sample.labels, sample.value) for sample in state] == [({"name": "one"}, 2)]
    assert families["circuit_breaker_redis_up"].samples[0].value == 1
    calls = {sample.labels["result"]: sample.value for sample in families["circuit_breaker_calls"].samples}
    assert calls["success"] == 1


def test_nothing_is_timed_before_somebody_scrapes(redis: Redis) -> None:
    """Making a site costs the app's calls nothing: they are observed from the first scrape on."""
    gc.collect()  # collectors of other tests are observers too
    before = len(observation.redis_observers)
    breaker = CircuitBreaker(name="one", redis=redis)
    site = BreakerSite([breaker])
    site.answer(Request("GET", "/api/health"))
    assert len(observation.redis_observers) == before
    site.answer(Request("GET", "/metrics"))
    assert len(observation.redis_observers) == before + 1


def test_metrics_of_an_app_that_registered_its_circuits(redis: Redis, serve: Serve) -> None:
    """Where the app registered its circuits itself, /metrics has its other metrics as well."""
    breaker = CircuitBreaker(name="one", redis=redis)
    register_circuit_breakers([breaker])
    try:
        body = serve(BreakerSite([breaker])).get("/metrics?name[]=python_info").body.decode()
    finally:
        unregister_circuit_breakers()
    assert "python_info{" in body
    assert "circuit_breaker_state" not in body


def test_state_and_history_of_one_circuit(redis: Redis, serve: Serve) -> None:
    """A circuit's state and its events can be had by name, whatever characters the name has."""
    name = "a/../b//history.."
    breaker = CircuitBreaker(name=name, redis=redis, failure_threshold=1)
    fail(breaker)
    Operator(name, redis=redis).force_close("<script>", who="ann")
    client = serve(BreakerSite([breaker]))
    state = client.get(f"/api/circuit-breakers/state?name={name}").document["breaker"]
    assert (state["name"], state["state"], state["settings"]["failure_threshold"]) == (name, "closed", 1)
    history = client.get(f"/api/circuit-breakers/history?name={name}&most=2").document["events"]
    assert [event["why"] for event in history] == ["force_close", "failure_threshold"]
    assert (history[0]["reason"], history[0]["who"]) == ("<script>", "ann")
    assert history[1]["exception"] == ServiceDownError.__name__
    assert history[1]["says"] == "1 failure in a row, the last a ServiceDownError"


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/api/circuit-breakers/state?name=nobody", 404, "no circuit 'nobody'"),
        ("/api/circuit-breakers/history?name=nobody", 404, "no circuit 'nobody'"),
        ("/api/circuit-breakers/state", 400, "name=..."),
        ("/api/circuit-breakers/state?name=%7B%0A", 400, "name must be"),
        ("/api/circuit-breakers/history?name=one&most=0", 400, "most must be"),
        ("/api/circuit-breakers/history?name=one&most=1e3", 400, "most must be"),
        ("/api/circuit-breakers/history?name=one&most=10001", 400, "most must be"),
    ],
)
def test_what_cannot_be_answered_says_why(
    redis: Redis, serve: Serve, path: str, status: int, says: str
) -> None:
    """An unknown name is 404 and a senseless question 400, each with a sentence, and nothing is made."""
    answer = serve(BreakerSite([CircuitBreaker(name="one", redis=redis)])).get(path)
    assert answer.status == status
    assert says in answer.document["error"]
    assert redis.keys() == []


def test_without_redis_the_process_is_alive_and_not_ready(serve: Serve) -> None:
    """Liveness never asks Redis, readiness does; own breakers go on, and figures say that they are alone."""
    with RedisServer() as server:
        breaker = CircuitBreaker(name="one", redis=server.url, redis_timeout=0.2)
        succeed(breaker)
        client = serve(BreakerSite([breaker], timeout=0.2))
        assert client.get("/api/health/ready").status == 200
        server.freeze()
        try:
            assert client.get("/api/health/live").document["status"] == "alive"
            ready = client.get("/api/health/ready")
            assert (ready.status, ready.document["status"]) == (503, "unready")
            assert client.get("/api/health").status == 200
            figures = client.get("/api/circuit-breakers/metrics").document["breakers"]["one"]
            assert figures["redis_available"] is False
            scrape = client.get("/metrics")
            assert scrape.status == 200
            assert b"circuit_breaker_redis_up 0" in scrape.body
            live = client.get("/api/circuit-breakers/live").document
            assert live["redis"]["is_up"] is False
            assert client.get("/api/circuit-breakers/state?name=one").status == 503
        finally:
            server.thaw()


def test_a_fleet_that_cannot_be_read_is_not_healthy(serve: Serve) -> None:
    """A site of the whole fleet has nothing to say without Redis, and does not call that healthy."""
    client = serve(BreakerSite(redis="redis://:hunter2@127.0.0.1:1/0", timeout=0.2, whole_fleet=True))
    for path in ("/api/health", "/api/circuit-breakers/metrics", "/api/circuit-breakers/live", "/metrics"):
        answer = client.get(path)
        assert answer.status == (503 if "health" in path or path.endswith("s/metrics") else 200)
        assert b"hunter2" not in answer.body


def test_a_rejected_call_is_503_with_retry_after(redis: Redis, serve: Serve) -> None:
    """Where a circuit rejects the app's call, its client is told when to come back."""
    breaker = CircuitBreaker(name="one", redis=redis, failure_threshold=1, timeout=12.4)
    with pytest.raises(ServiceDownError):
        breaker.call(service_down)
    client = serve(BreakerSite([breaker]), lambda: breaker.call(lambda: 1))
    answer = client.get("/call")
    assert answer.status == 503
    assert answer.headers["retry-after"] in {"12", "13"}
    assert answer.document["breaker"] == "one"
    breaker.force_close()
    assert client.get("/call").document == {"result": 1}


@pytest.mark.parametrize(("seconds", "header"), [(0, "1"), (0.2, "1"), (1, "1"), (1.001, "2"), (59.0, "59")])
def test_retry_after_is_never_too_early(seconds: float, header: str) -> None:
    """Retry-After is rounded up, and at least 1."""
    assert retry_after_seconds(seconds) == header


def test_heads_redirects_and_wrong_methods(redis: Redis, serve: Serve) -> None:
    """HEAD is GET without a body, the page is found without its slash, and other methods are refused."""
    client: Client = serve(BreakerSite([CircuitBreaker(name="one", redis=redis)]))
    head = client.ask("HEAD", "/circuit-breakers/")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) > 1000
    there = client.get("/circuit-breakers")
    assert (there.status, there.headers["location"]) == (307, "circuit-breakers/")
    assert client.ask("POST", "/api/health").status == 405
    assert client.ask("GET", "/api/circuit-breakers/act").status == 405
    assert client.get("/circuit-breakers/../../pyproject.toml").status == 404
    assert client.get("/circuit-breakers/__init__.py").status == 404
