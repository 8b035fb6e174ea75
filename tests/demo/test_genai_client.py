"""The demo's clients on google-genai against the local Google AI server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from local_google_ai import CALLS, TEXT
from local_google_ai import server as server

from sharedbreaker.demo.genai_client import AsyncGenaiClient, GenaiClient
from sharedbreaker.demo.google_ai_server import Behaviour, GoogleAiServer, GoogleAiService, draw_png, read_png

pytest.importorskip("google.genai", exc_type=ImportError)

from google.genai import errors


@pytest.fixture
def client(server: GoogleAiServer) -> GenaiClient:
    return GenaiClient("key", f"{server.url}/", timeout=5)


def test_each_service_answers_and_is_asked_once(server: GoogleAiServer, client: GenaiClient) -> None:
    """Text, vision and images come back whole, each from the upstream that the demo counts it at."""
    assert client.generate_text('Why "so", Bär?') == 'You asked: Why "so", Bär?'
    picture = client.describe_image("Topic?", draw_png("subject", width=30, height=20))
    assert picture == "I see a PNG picture of 30 x 20 pixels. You asked: Topic?"
    assert read_png(client.generate_image("a cat")).caption == "a cat"
    assert [server.books(service).answered for service in GoogleAiService] == [{"200": 1}] * 3


@pytest.mark.parametrize("service", GoogleAiService)
def test_a_failure_is_raised_after_one_request(
    server: GoogleAiServer, client: GenaiClient, service: GoogleAiService
) -> None:
    """The SDK's own retries are off, so that the circuit sees each failure."""
    server.behave(service, Behaviour(status=503))
    with pytest.raises(errors.ServerError):
        CALLS[service](client)
    assert server.books(service).answered == {"503": 1}


def test_an_answer_that_holds_nothing_is_an_error(server: GoogleAiServer, client: GenaiClient) -> None:
    """A model that answers in words where a picture was ordered is a ValueError."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sharedbreaker.demo.genai_client.IMAGE_MODEL", "gemini-2.5-flash")
        with pytest.raises(ValueError, match="no picture"):
            client.generate_image("a cat")


def test_threads_that_come_first_together_all_get_their_answers(server: GoogleAiServer) -> None:
    """Clients that were made for nothing are dropped, and not while a call is under way on them."""
    server.behave(TEXT, Behaviour(delay=0.01))
    for _ in range(2):
        client = GenaiClient("key", server.url, timeout=5)
        together = threading.Barrier(8)

        def ask(prompt: str, client: GenaiClient = client, together: threading.Barrier = together) -> str:
            together.wait(10)
            return client.generate_text(prompt)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, "abcdefgh"))
        assert answers == [f"You asked: {prompt}" for prompt in "abcdefgh"]


FORKING_PROGRAM = """
import os, sys
from sharedbreaker.demo.genai_client import GenaiClient
client = GenaiClient("key", sys.argv[1])
client.generate_text("warm")
before = client._client()
child = os.fork()
assert (client._client() is before) == bool(child)
for number in range(5):
    prompt = f"{number} of {'parent' if child else 'child'}"
    assert client.generate_text(prompt) == f"You asked: {prompt}"
if not child:
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_connects_anew(server: GoogleAiServer) -> None:
    """A client used before a fork gives both processes their own answers after it."""
    server.behave(TEXT, Behaviour(delay=0.002))
    program = [sys.executable, "-c", FORKING_PROGRAM, server.url]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=20, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert server.books(TEXT).answered == {"200": 11}


def test_the_async_client_asks_the_same(server: GoogleAiServer) -> None:
    """Its three methods send what the other client sends, and give the same."""

    async def ask() -> tuple[str, str, bytes]:
        client = AsyncGenaiClient("key", server.url, text=None, vision=None, imagen=None)
        try:
            return (
                await client.generate_text("Why?"),
                await client.describe_image("Topic?", draw_png("subject")),
                await client.generate_image("a cat"),
            )
        finally:
            await client.close()

    answers = asyncio.run(ask())
    other = GenaiClient("key", server.url)
    assert answers == tuple(CALLS[service](other) for service in GoogleAiService)


def test_a_missing_sdk_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the SDK a client can be made, and its first call says what to install."""
    client = GenaiClient("key", None)
    monkeypatch.setitem(sys.modules, "google.genai", None)
    monkeypatch.delattr("google.genai", raising=False)
    with pytest.raises(ImportError, match=r"sharedbreaker\[demo\]"):
        client.generate_text("x")
