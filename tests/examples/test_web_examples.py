"""examples/flask_app.py under gunicorn, and examples/fastapi_app.py under uvicorn: two workers each."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
from redis import Redis
from running_example import environment as environment
from running_example import google_ai as google_ai
from running_example import serving

from sharedbreaker import CircuitBreaker
from sharedbreaker.demo.google_ai_server import Behaviour, GoogleAiServer, GoogleAiService, draw_png, read_png

FLASK = ["gunicorn", "--bind", "127.0.0.1:PORT", "--workers", "2", "--threads", "4", "flask_app:create_app()"]
FASTAPI = ["uvicorn", "--host", "127.0.0.1", "--port", "PORT", "--workers", "2", "fastapi_app:app"]
UVICORN_WORKERS = [
    *("gunicorn", "--bind", "127.0.0.1:PORT", "--workers", "2"),
    *("--worker-class", "uvicorn_worker.UvicornWorker", "fastapi_app:app"),
]
TEXT = GoogleAiService.TEXT


def get(url: str, path: str) -> requests.Response:
    return requests.get(f"{url}{path}", timeout=20, headers={"Connection": "close"})


@pytest.mark.parametrize("command", [FLASK, FASTAPI, UVICORN_WORKERS], ids=lambda words: words[0] + words[-1])
def test_workers_share_a_circuit_and_say_when_to_come_back(
    command: list[str], environment: dict[str, str], google_ai: GoogleAiServer, redis: Redis, tmp_path: Path
) -> None:
    """Five failures through whichever workers, and both answer 503 without asking Google AI again."""
    with serving(command, environment, tmp_path / "log") as url:
        assert "tides" in get(url, "/explanation?topic=tides").text
        google_ai.behave(TEXT, Behaviour(status=503))
        google_ai.reset_books()
        statuses = [get(url, "/explanation?topic=tides").status_code for _ in range(9)]
        rejected = get(url, "/explanation?topic=tides")
        CircuitBreaker(name="google_ai_text_generation", redis=redis).force_close()
        google_ai.heal(TEXT)
        assert get(url, "/explanation?topic=tides").status_code == 200

    assert statuses == [502] * 5 + [503] * 4
    assert google_ai.books(TEXT).answered == {"503": 5, "200": 1}
    assert 55 <= int(rejected.headers["Retry-After"]) <= 60
    assert rejected.headers["Cache-Control"] == "no-store"
    assert rejected.json()["breaker"] == "google_ai_text_generation"
    assert "hushhush" not in rejected.text + (tmp_path / "log").read_text()


def test_flask_sees_and_draws(environment: dict[str, str], redis: Redis, tmp_path: Path) -> None:
    """The other two services of the Flask example answer, each through its own circuit."""
    with serving(FLASK, environment, tmp_path / "log") as url:
        topic = requests.post(f"{url}/topic", data=draw_png("sea", width=7, height=5), timeout=20)
        picture = get(url, "/picture?of=a+cat")

    assert "7 x 5" in topic.text
    assert read_png(picture.content).caption == "a cat"
    assert redis.hget("sharedbreaker:{google_ai_vision}", "successful_calls") == "1"
    assert redis.hget("sharedbreaker:{google_ai_imagen}", "successful_calls") == "1"


def test_fastapi_streams(
    environment: dict[str, str], google_ai: GoogleAiServer, redis: Redis, tmp_path: Path
) -> None:
    """A stream arrives whole and is one success; one that is rejected or fails at once has its own status."""
    breaker = CircuitBreaker(name="google_ai_text_generation", redis=redis)
    with serving(FASTAPI, environment, tmp_path / "log") as url:
        whole = get(url, "/story?topic=tides")
        google_ai.behave(TEXT, Behaviour(status=503))
        failed = get(url, "/story?topic=tides")
        breaker.force_open(seconds=41.4)
        rejected = get(url, "/story?topic=tides")

    assert whole.text == "You asked: Tell a story about tides."
    assert "Content-Length" not in whole.headers
    assert failed.status_code == 502
    assert (rejected.status_code, rejected.headers["Retry-After"]) == (503, "42")
    figures = breaker.get_metrics()
    assert [figures[f"{outcome}_calls"] for outcome in ("successful", "failed", "rejected")] == [1, 1, 1]
