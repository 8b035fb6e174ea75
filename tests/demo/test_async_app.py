"""The demo's app for event loops, asked through Starlette's test client; Redis and Google's SDK are real."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from starlette.testclient import TestClient

from sharedbreaker import CircuitBreaker, StoreError, initialize_circuit_breakers
from sharedbreaker.demo import endpoints
from sharedbreaker.demo.app import create_app as create_flask_app
from sharedbreaker.demo.app_environment import AppEnvironment
from sharedbreaker.demo.async_app import create_app
from sharedbreaker.demo.google_ai_server import Behaviour, GoogleAiServer, GoogleAiService, draw_png, read_png
from sharedbreaker.demo.redis_server import RedisServer, free_port
from sharedbreaker.demo.sdk import Sdk
from sharedbreaker.demo.setup_error import DemoSetupError

CALLS = ("/api/subtopics", "/api/explanation", "/api/image2topic", "/api/generate_image")
FIGURES = ("/api/circuit-breakers/metrics", "/metrics", "/api/health")


@pytest.fixture
def google_ai() -> Iterator[GoogleAiServer]:
    with GoogleAiServer() as server:
        yield server


@pytest.fixture
def environment(google_ai: GoogleAiServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    told = AppEnvironment(None, "sharedbreaker", google_ai.url, "x", Sdk.GENAI).variables()
    for name, value in {**told, "SHAREDBREAKER_ENABLED": "true", "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    yield monkeypatch
    initialize_circuit_breakers({"circuit_breaker": {"enabled": False}})


@pytest.fixture
def web(environment: pytest.MonkeyPatch, redis_server: RedisServer, redis: Redis) -> Iterator[TestClient]:
    environment.setenv("SHAREDBREAKER_REDIS_URL", redis_server.url)
    with TestClient(create_app()) as client:
        yield client


def test_the_endpoints_answer_what_the_other_app_answers(
    web: TestClient, environment: pytest.MonkeyPatch
) -> None:
    """Both apps, with either SDK, say the same of the same question, and draw the same picture."""
    flask = create_flask_app().test_client()
    environment.setenv("SHAREDBREAKER_DEMO_SDK", Sdk.GENERATIVEAI.value)
    older = create_flask_app().test_client()
    png = draw_png("mine", width=7, height=5)
    for path in ("/api/subtopics?topic=tides", "/api/explanation"):
        answer = web.get(path).json()
        assert answer["outcome"] == "success"
        assert answer == flask.get(path).json == older.get(path).json
    picture = web.post("/api/image2topic", content=png).json()
    assert "7 x 5" in picture["topic"]
    assert picture == flask.post("/api/image2topic", data=png).json
    drawn = web.get("/api/generate_image?prompt=a+cat")
    assert drawn.headers["Content-Type"] == "image/png"
    assert read_png(drawn.content).caption == "a cat"
    assert read_png(flask.get("/api/generate_image?prompt=a+cat").data).caption == "a cat"


@pytest.mark.parametrize("body", [b'{"topic": "eclipses"}', b"[]", b"{", b"\xff"])
def test_a_topic_may_come_in_json(web: TestClient, body: bytes) -> None:
    """A JSON object may name the topic; what is none asks for the demo's own."""
    answer = web.post("/api/explanation", content=body, headers={"Content-Type": "application/json"})
    assert answer.json()["topic"] == ("eclipses" if b"eclipses" in body else "circuit breakers")


def test_each_answer_names_its_worker(web: TestClient) -> None:
    """The header X-Worker holds the process id, on answers of every kind."""
    answers = [web.get(path) for path in (*CALLS, *FIGURES, "/nowhere")]
    assert {answer.headers["X-Worker"] for answer in answers} == {str(os.getpid())}


def test_three_failures_open_vision_and_the_others_go_on(
    web: TestClient, google_ai: GoogleAiServer, redis: Redis
) -> None:
    """Failures are 502, and once the circuit is open, 503 with Retry-After, which upstream does not see."""
    google_ai.behave(GoogleAiService.VISION, Behaviour(status=503))
    answers = [web.get("/api/image2topic") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [502, 502, 502, 503, 503]
    assert answers[0].json() == {"outcome": "failure", "error": "ServerError"}
    assert answers[3].json()["outcome"] == "rejected"
    assert answers[3].headers["Retry-After"] == "60"
    assert google_ai.books(GoogleAiService.VISION).arrived == 3
    assert web.get("/api/subtopics").status_code == web.get("/api/generate_image").status_code == 200
    assert redis.hget("sharedbreaker:{google_ai_imagen}", "successful_calls") == "1"


def test_a_callers_error_is_a_bad_request(web: TestClient, redis: Redis) -> None:
    """What Google finds wrong with the request is 400, and says nothing about the service."""
    answer = web.post("/api/image2topic", content=b"no picture")
    assert (answer.status_code, answer.json()) == (400, {"outcome": "ignored", "error": "ClientError"})
    assert redis.hget("sharedbreaker:{google_ai_vision}", "ignored_calls") == "1"


def test_the_breakers_declare_what_the_other_app_declares(web: TestClient, redis: Redis) -> None:
    """The settings in force stay as they are while both apps call: no event tells of a change."""
    flask = create_flask_app().test_client()
    for path in CALLS:
        assert web.get(path).status_code == flask.get(path).status_code == web.get(path).status_code == 200
    for name in ("google_ai_text_generation", "google_ai_vision", "google_ai_imagen"):
        assert redis.xlen(f"sharedbreaker:{{{name}}}:events") <= 1


def test_figures_are_those_of_the_circuits(web: TestClient, redis: Redis) -> None:
    """Health is 200 while all are closed and 503 else; the metrics and the exposition tell the same."""
    web.get("/api/subtopics")
    assert (web.get("/api/health").status_code, web.get("/api/health").json()["status"]) == (200, "healthy")
    CircuitBreaker(name="google_ai_vision", redis=redis).force_open()
    health, metrics, page = (web.get(path) for path in ("/api/health", *FIGURES[:2]))
    assert (health.status_code, health.json()["status"]) == (503, "degraded")
    assert health.json()["circuit_breakers"]["vision"]["state"] == "open"
    assert metrics.json()["breakers"]["text_generation"]["successful_calls"] == 1
    assert health.headers["Cache-Control"] == metrics.headers["Cache-Control"] == "no-store"
    assert page.headers["Content-Type"] == endpoints.EXPOSITION_TYPE
    states = {
        sample.labels["name"]: sample.value
        for family in text_string_to_metric_families(page.text)
        for sample in family.samples
        if sample.name == "circuit_breaker_state"
    }
    assert states["google_ai_vision"] == 2
    assert states["google_ai_imagen"] == 0


def test_figures_that_redis_cannot_give_are_503_in_json(
    web: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a breaker raises StoreError, the answer is 503 and says why."""

    async def away(_: object) -> None:
        raise StoreError("Redis at somewhere:6379 could not be asked")

    monkeypatch.setattr("sharedbreaker.async_breaker.AsyncCircuitBreaker.get_metrics", away)
    answer = web.get("/api/health")
    assert answer.status_code == 503
    assert "somewhere:6379" in answer.json()["error"]


def test_without_breakers_or_redis_the_app_works(environment: pytest.MonkeyPatch) -> None:
    """Calls are made where breakers are not enabled, and where Redis is away, whose password stays unseen."""
    environment.setenv("SHAREDBREAKER_REDIS_URL", f"redis://:hushhush@127.0.0.1:{free_port()}/0")
    with TestClient(create_app()) as web:
        assert [web.get(path).status_code for path in CALLS] == [200] * 4
        assert "hushhush" not in "".join(web.get(path).text for path in FIGURES)
    environment.setenv("SHAREDBREAKER_ENABLED", "false")
    with TestClient(create_app()) as web:
        assert [web.get(path).status_code for path in (*CALLS, *FIGURES)] == [200] * 7
        assert web.get("/api/health").json()["circuit_breakers"] == {}


def test_an_unknown_sdk_is_refused(environment: pytest.MonkeyPatch) -> None:
    """An environment that names no SDK of Google's says which there are."""
    environment.setenv("SHAREDBREAKER_DEMO_SDK", "openai")
    with pytest.raises(DemoSetupError, match="google-generativeai, google-genai, not 'openai'"):
        create_app()
