"""docs/deploying.md: its commands are commands, of servers that take these options."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
import uvicorn
from celery import Celery
from celery.bin.celery import celery
from docs_page import ROOT, page
from kubernetes_manifests import FILES
from redis import Redis
from running_example import serving

from sharedbreaker.demo.redis_server import RedisServer

PAGE = page("deploying.md")
COMMANDS = [shlex.split(block.text) for block in PAGE.blocks("sh")]


def test_each_server_has_its_command() -> None:
    """The page starts the three servers that it speaks of."""
    assert [words[0] for words in COMMANDS] == ["gunicorn", "uvicorn", "celery"]


def test_gunicorn_takes_the_command() -> None:
    """Gunicorn accepts the options, and finds the example's app."""
    checked = subprocess.run(
        [sys.executable, "-m", *COMMANDS[0], "--check-config"],
        cwd=ROOT / "examples",
        env={**os.environ, "GOOGLE_API_KEY": "none", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr


def test_uvicorn_takes_its_command() -> None:
    """Uvicorn accepts the options, without being started; tests/examples starts it."""
    taken = uvicorn.main.make_context("uvicorn", COMMANDS[1][1:])

    assert taken.params["app"] == "fastapi_app:app"


def test_celery_takes_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery accepts the options, without being started; tests/examples starts it."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    _, *options = COMMANDS[2]
    split = options.index("worker")
    parent = celery.make_context("celery", list(options))
    parent.obj = SimpleNamespace(app=Celery())
    taken = celery.commands["worker"].make_context("worker", options[split + 1 :], parent=parent)

    assert taken.params["concurrency"] == 4


HOLDS_BACK = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker
from sharedbreaker.integrations.asgi import RejectionMiddleware

settings = {"name": "held", "max_staleness": 3600, "redis_timeout": 5}
breaker = CircuitBreaker(**settings)
async_breaker = AsyncCircuitBreaker(**settings)


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [breaker.call(lambda: b"ok")]


async def answer(request):
    return PlainTextResponse("ok")


async def guarded(request):
    return await async_breaker.call(answer, request)


asgi = Starlette(routes=[Route("/", guarded)])
asgi.add_middleware(RejectionMiddleware)
"""
UVICORN = ["uvicorn", "--host", "127.0.0.1", "--port", "PORT", "--workers", "2", "held:asgi"]
GUNICORN = ["gunicorn", "--bind", "127.0.0.1:PORT", "--workers", "2"]


@pytest.mark.parametrize(
    "command",
    [
        [*GUNICORN, "held:wsgi"],
        UVICORN,
        [*GUNICORN, "--worker-class", "uvicorn_worker.UvicornWorker", "held:asgi"],
    ],
    ids=["gunicorn", "uvicorn", "gunicorn with uvicorn workers"],
)
def test_workers_that_are_ended_write_what_they_hold_back(
    redis: Redis, redis_server: RedisServer, tmp_path: Path, command: list[str]
) -> None:
    """After SIGTERM every call is in Redis, though each worker might have kept its own for an hour."""
    (tmp_path / "held.py").write_text(HOLDS_BACK)
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "PYTHONPATH": str(tmp_path),
        "SHAREDBREAKER_REDIS_URL": redis_server.url,
    }
    with serving(command, environment, tmp_path / "log") as url:
        asked = 1  # `serving` asks until it is answered
        for _ in range(30):
            assert requests.get(url, timeout=20, headers={"Connection": "close"}).status_code == 200
            asked += 1
        unwritten = asked - int(redis.hget("sharedbreaker:{held}", "successful_calls") or 0)

    assert unwritten > 0
    assert redis.hget("sharedbreaker:{held}", "successful_calls") == str(asked)


def test_each_manifest_is_listed() -> None:
    """The page's table has each file of deploy/kubernetes."""
    for file in FILES:
        assert f"(../deploy/kubernetes/{file.name})" in PAGE.text
