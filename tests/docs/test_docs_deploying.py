"""docs/deploying.md: its commands are commands, of servers that take these options."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from types import SimpleNamespace

import pytest
import uvicorn
from celery import Celery
from celery.bin.celery import celery
from docs_page import ROOT, page
from kubernetes_manifests import FILES

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


def test_each_manifest_is_listed() -> None:
    """The page's table has each file of deploy/kubernetes."""
    for file in FILES:
        assert f"(../deploy/kubernetes/{file.name})" in PAGE.text
