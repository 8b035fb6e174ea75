"""examples/celery_tasks.py under a real Celery worker that forks two children."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from redis import Redis
from running_example import environment as environment
from running_example import google_ai as google_ai
from running_example import running, until

from sharedbreaker.demo.google_ai_server import Behaviour, GoogleAiServer, GoogleAiService
from sharedbreaker.demo.redis_server import RedisServer

WORKER = ["celery", "--app", "celery_tasks", "worker", "--concurrency", "2", "--loglevel", "info"]
TEXT = GoogleAiService.TEXT


@pytest.fixture
def tasks() -> Iterator[tuple[Celery, str]]:
    """Celery's own Redis, so that its keys are not among the circuits'."""
    with RedisServer() as server, Celery("tests", broker=server.url, backend=server.url) as app:
        yield app, server.url
        app.backend.client.close()


def test_rejected_tasks_are_put_off_and_none_is_lost(
    tasks: tuple[Celery, str],
    environment: dict[str, str],
    google_ai: GoogleAiServer,
    redis: Redis,
    tmp_path: Path,
) -> None:
    """Two failures open the circuit for both children; tasks that it rejects come back and all succeed."""
    app, url = tasks
    log = tmp_path / "log"
    environment |= {
        "CELERY_BROKER_URL": url,
        "CELERY_RESULT_BACKEND": url,
        "SHAREDBREAKER_FAILURE_THRESHOLD": "2",
        "SHAREDBREAKER_TIMEOUT": "1",
    }
    google_ai.behave(TEXT, Behaviour(status=503))
    with running(WORKER, environment, log):
        failing = [app.send_task("celery_tasks.explain", ["ebb"]) for _ in range(2)]
        until(lambda: all(task.ready() for task in failing), log)
        google_ai.heal(TEXT)
        waiting = [app.send_task("celery_tasks.explain", [f"tide {number}"]) for number in range(4)]
        until(lambda: all(task.ready() for task in waiting), log)

    assert [task.state for task in (*failing, *waiting)] == ["FAILURE"] * 2 + ["SUCCESS"] * 4
    answers = [task.result for task in waiting]
    assert answers == [f"You asked: Explain tide {number} in two sentences." for number in range(4)]
    assert google_ai.books(TEXT).answered == {"503": 2, "200": 4}
    tallies = redis.hgetall("sharedbreaker:{google_ai_text_generation}")
    assert (tallies["failed_calls"], tallies["successful_calls"]) == ("2", "4")
    assert int(tallies["rejected_calls"]) >= 1
    assert tallies["state"] == "closed"
    told = log.read_text()
    assert "Retry in" in told
    assert "hushhush" not in told
