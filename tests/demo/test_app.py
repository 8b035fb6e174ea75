"""The demo's web app, asked through Flask's test client; Redis and Google's SDK are real."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from sharedbreaker import (
    CircuitBreaker,
    StoreError,
    get_all_metrics,
    get_imagen_breaker,
    get_text_generation_breaker,
    get_vision_api_breaker,
    initialize_circuit_breakers,
)
from sharedbreaker.demo import app as demo_app
from sharedbreaker.demo.app import create_app
from sharedbreaker.demo.app_environment import AppEnvironment
from sharedbreaker.demo.google_ai_server import Behaviour, GoogleAiServer, GoogleAiService, draw_png, read_png
from sharedbreaker.demo.redis_server import RedisServer, free_port
from sharedbreaker.demo.setup_error import DemoSetupError

CALLS = ("/api/subtopics", "/api/explanation", "/api/image2topic", "/api/generate_image")
FIGURES = ("/api/circuit-breakers/metrics", "/metrics", "/api/health")
SETTINGS = {
    "SHAREDBREAKER_ENABLED": "true",
    "SHAREDBREAKER_FAILURE_THRESHOLD": "5",
    "SHAREDBREAKER_SUCCESS_THRESHOLD": "2",
    "SHAREDBREAKER_TIMEOUT": "60",
}


@pytest.fixture(scope="module")
def google_ai_of_module() -> Iterator[GoogleAiServer]:
    with GoogleAiServer() as server:
        yield server


@pytest.fixture
def google_ai(google_ai_of_module: GoogleAiServer) -> GoogleAiServer:
    for service in GoogleAiService:
        google_ai_of_module.heal(service)
    google_ai_of_module.reset_books()
    return google_ai_of_module


@pytest.fixture
def environment(google_ai: GoogleAiServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    for name, value in {
        **SETTINGS,
        **AppEnvironment(None, "sharedbreaker", google_ai.url, "x").variables(),
    }.items():
        monkeypatch.setenv(name, value)
    yield monkeypatch
    initialize_circuit_breakers({"circuit_breaker": {"enabled": False}})


@pytest.fixture
def web(environment: pytest.MonkeyPatch, redis_server: RedisServer, redis: Redis) -> FlaskClient:
    environment.setenv("SHAREDBREAKER_REDIS_URL", redis_server.url)
    return create_app().test_client()


def the(breaker: CircuitBreaker | None) -> CircuitBreaker:
    assert breaker is not None
    return breaker


def test_text_endpoints_answer_about_the_topic(web: FlaskClient) -> None:
    """Both text endpoints take a topic from the query or from JSON, and say what the service says."""
    subtopics = web.get("/api/subtopics?topic=tides")
    explanation = web.post("/api/explanation", json={"topic": "eclipses"})
    assert subtopics.status_code == explanation.status_code == 200
    assert subtopics.json is not None
    assert explanation.json is not None
    assert (subtopics.json["outcome"], subtopics.json["topic"]) == ("success", "tides")
    assert "tides" in subtopics.json["subtopics"][0]
    assert "eclipses" in explanation.json["explanation"]


def test_a_picture_that_is_sent_is_the_one_that_is_described(web: FlaskClient) -> None:
    """A PNG is taken as the body or as an upload named image; without one, the demo's own is described."""
    png = draw_png("mine", width=7, height=5)
    sent = web.post("/api/image2topic", data=png, content_type="image/png")
    uploaded = web.post("/api/image2topic", data={"image": (io.BytesIO(png), "mine.png")})
    own = web.get("/api/image2topic")
    for answer, size in ((sent, "7 x 5"), (uploaded, "7 x 5"), (own, "128 x 128")):
        assert answer.status_code == 200
        assert answer.json is not None
        assert size in answer.json["topic"]


def test_generate_image_answers_with_a_png(web: FlaskClient) -> None:
    """The picture that Imagen draws comes as a PNG of what was asked for."""
    answer = web.get("/api/generate_image?prompt=a+cat")
    assert (answer.status_code, answer.mimetype) == (200, "image/png")
    assert read_png(answer.data).caption == "a cat"


def test_every_answer_names_its_worker(web: FlaskClient) -> None:
    """The header X-Worker holds the process id, on answers of every kind."""
    assert {web.get(path).headers["X-Worker"] for path in (*CALLS, *FIGURES, "/nowhere")} == {
        str(os.getpid())
    }


def test_a_failing_service_is_a_bad_gateway(web: FlaskClient, google_ai: GoogleAiServer) -> None:
    """A failure of the service is 502 with the error's type and not its text, and is tallied."""
    google_ai.behave(GoogleAiService.VISION, Behaviour(status=503))
    answer = web.get("/api/image2topic")
    assert answer.status_code == 502
    assert answer.json == {"outcome": "failure", "error": "ServiceUnavailable"}
    assert get_all_metrics()["vision"]["failed_calls"] == 1


def test_a_callers_error_is_a_bad_request(web: FlaskClient) -> None:
    """What Google finds wrong with the request is 400, and says nothing about the service."""
    answer = web.post("/api/image2topic", data=b"no picture", content_type="image/png")
    assert answer.status_code == 400
    assert answer.json == {"outcome": "ignored", "error": "BadRequest"}
    assert get_all_metrics()["vision"]["ignored_calls"] == 1


def test_three_failures_open_vision_for_the_other_calls(web: FlaskClient, google_ai: GoogleAiServer) -> None:
    """After three failures vision is rejected without being asked, and the other services go on."""
    google_ai.behave(GoogleAiService.VISION, Behaviour(status=500))
    statuses = [web.get("/api/image2topic").status_code for _ in range(5)]
    assert statuses == [502, 502, 502, 503, 503]
    assert google_ai.books(GoogleAiService.VISION).arrived == 3
    assert web.get("/api/subtopics").status_code == web.get("/api/generate_image").status_code == 200


@pytest.mark.parametrize(("seconds", "retry_after"), [(0.9, "1"), (41.4, "42"), (None, None)])
def test_a_rejected_call_says_when_to_come_back(
    web: FlaskClient, google_ai: GoogleAiServer, seconds: float | None, retry_after: str | None
) -> None:
    """A rejection is 503 with whole seconds in Retry-After, at least one, and none where nobody knows."""
    the(get_imagen_breaker()).force_open(seconds=seconds)
    answer = web.get("/api/generate_image")
    assert answer.status_code == 503
    assert answer.headers.get("Retry-After") == retry_after
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json is not None
    document = dict(answer.json)
    wait = document.pop("retry_after")
    assert (wait is None) if seconds is None else (0 < wait <= seconds)
    assert document == {"outcome": "rejected", "breaker": "google_ai_imagen", "state": "open"}
    assert google_ai.books(GoogleAiService.IMAGEN).arrived == 0


def test_health_is_200_while_all_are_closed_and_503_else(web: FlaskClient) -> None:
    """Health says healthy with 200, or degraded with 503, and each breaker's state and success rate."""
    web.get("/api/subtopics")
    healthy = web.get("/api/health")
    the(get_vision_api_breaker()).force_open()
    degraded = web.get("/api/health")
    assert (healthy.status_code, degraded.status_code) == (200, 503)
    assert healthy.json is not None
    assert degraded.json is not None
    assert set(healthy.json) == set(degraded.json) == {"status", "circuit_breakers", "timestamp"}
    assert (healthy.json["status"], degraded.json["status"]) == ("healthy", "degraded")
    idle = {"state": "closed", "is_healthy": True, "success_rate": None}
    assert healthy.json["circuit_breakers"] == {
        "text_generation": {**idle, "success_rate": 100.0}, "vision": idle, "imagen": idle
    }  # fmt: skip
    assert degraded.json["circuit_breakers"]["vision"] == {**idle, "state": "open", "is_healthy": False}


@pytest.mark.parametrize("path", ["/api/health", "/api/circuit-breakers/metrics"])
def test_timestamps_are_utc_with_offset_and_answers_are_not_kept(web: FlaskClient, path: str) -> None:
    """What tells of the moment has an ISO 8601 timestamp in UTC and may not be cached."""
    answer = web.get(path)
    assert answer.json is not None
    assert datetime.fromisoformat(answer.json["timestamp"]).utcoffset() == timedelta(0)
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_metrics_are_those_of_the_breakers(web: FlaskClient) -> None:
    """The JSON holds get_all_metrics() of the three, as figures that everybody shares."""
    web.get("/api/subtopics")
    answer = web.get("/api/circuit-breakers/metrics")
    assert answer.json is not None
    assert set(answer.json) == {"success", "breakers", "timestamp"}
    assert answer.json["success"] is True
    shown, now = answer.json["breakers"], get_all_metrics()
    for figures in (*shown.values(), *now.values()):
        figures.pop("uptime_seconds")
    assert shown == now
    assert shown["text_generation"]["successful_calls"] == 1


def test_the_exposition_can_be_parsed(web: FlaskClient, google_ai: GoogleAiServer) -> None:
    """/metrics is valid text exposition with the right content type and the calls that were made."""
    google_ai.behave(GoogleAiService.IMAGEN, Behaviour(status=503))
    web.get("/api/generate_image")
    answer = web.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    name = ("name", "google_ai_imagen")
    assert samples["circuit_breaker_calls_total", name, ("result", "failure")] == 1
    assert samples["circuit_breaker_calls_total", name, ("result", "success")] == 0
    assert samples["circuit_breaker_state", name] == 0


def test_without_breakers_the_app_works(environment: pytest.MonkeyPatch, google_ai: GoogleAiServer) -> None:
    """Where breakers are not enabled, all calls are made and the figures are of no breaker."""
    environment.setenv("SHAREDBREAKER_ENABLED", "false")
    web = create_app().test_client()
    assert get_text_generation_breaker() is None
    assert [web.get(path).status_code for path in (*CALLS, *FIGURES)] == [200] * 7
    google_ai.behave(GoogleAiService.TEXT, Behaviour(status=503))
    assert web.get("/api/subtopics").status_code == 502
    health = web.get("/api/health")
    assert health.json is not None
    assert health.json["circuit_breakers"] == {}


def test_without_redis_calls_are_made_and_nothing_leaks(environment: pytest.MonkeyPatch) -> None:
    """With Redis down, calls succeed, and figures are either there or 503 in JSON, never with a password."""
    environment.setenv("SHAREDBREAKER_REDIS_URL", f"redis://:hushhush@127.0.0.1:{free_port()}/0")
    web = create_app().test_client()
    assert [web.get(path).status_code for path in CALLS] == [200] * 4
    for path in FIGURES:
        answer = web.get(path)
        assert answer.status_code in {200, 503}
        assert answer.mimetype == "application/json" or (path, answer.status_code) == ("/metrics", 200)
        assert "hushhush" not in answer.text
        assert "Traceback" not in answer.text


@pytest.mark.parametrize("path", FIGURES)
def test_figures_that_redis_cannot_give_are_503_in_json(
    web: FlaskClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Where the breakers raise StoreError, the answer is 503 and says why."""

    def away() -> None:
        raise StoreError("Redis at somewhere:6379 could not be asked")

    monkeypatch.setattr(demo_app, "get_all_metrics", away)
    monkeypatch.setattr(demo_app, "export_all_prometheus_metrics", away)
    answer = web.get(path)
    assert answer.status_code == 503
    assert answer.json is not None
    assert (answer.json["success"], answer.json["status"]) == (False, "degraded")
    assert "somewhere:6379" in answer.json["error"]


def test_what_is_not_there_or_too_large_is_refused_in_json(web: FlaskClient) -> None:
    """An unknown path is 404, and a picture of more than 10 MB 413, both in JSON."""
    too_large = web.post("/api/image2topic", data=b"x" * (10 * 1024 * 1024 + 1), content_type="image/png")
    assert (web.get("/nowhere").status_code, too_large.status_code) == (404, 413)
    assert too_large.mimetype == web.get("/nowhere").mimetype == "application/json"


def test_the_app_must_know_which_google_ai_to_ask(environment: pytest.MonkeyPatch) -> None:
    """Neither the address of a local server nor a key for Google's: create_app says which to set."""
    environment.setenv("SHAREDBREAKER_DEMO_GOOGLE_AI_URL", "")
    environment.setenv("GOOGLE_API_KEY", "")
    with pytest.raises(DemoSetupError, match=r"SHAREDBREAKER_DEMO_GOOGLE_AI_URL.*GOOGLE_API_KEY"):
        create_app()


def test_an_environment_is_read_as_it_was_written() -> None:
    """The variables of an AppEnvironment give the same AppEnvironment back."""
    environment = AppEnvironment("redis://somewhere/3", "mine", "http://127.0.0.1:1", "key")
    assert AppEnvironment.read(environment.variables()) == environment
