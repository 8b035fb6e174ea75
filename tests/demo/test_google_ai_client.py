"""Google's own SDK against the local Google AI server."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from local_google_ai import CALLS, IMAGEN, TEXT, VISION
from local_google_ai import server as server
from plain_http import until

from sharedbreaker.demo.google_ai_client import GoogleAiClient
from sharedbreaker.demo.google_ai_server import (
    Behaviour,
    Fault,
    GoogleAiServer,
    GoogleAiService,
    draw_png,
    read_png,
)

pytest.importorskip("google.generativeai", exc_type=ImportError)

from google.api_core import exceptions
from google.protobuf.json_format import ParseError


@pytest.fixture
def client(server: GoogleAiServer) -> GoogleAiClient:
    return GoogleAiClient("key", server.url, timeout=5)


def test_a_text_is_answered(server: GoogleAiServer, client: GoogleAiClient) -> None:
    """The SDK reads the answer to its prompt."""
    assert client.generate_text('Why "so", Bär?') == 'You asked: Why "so", Bär?'
    assert server.books(TEXT).answered == {"200": 1}


def test_a_picture_is_described(server: GoogleAiServer, client: GoogleAiClient) -> None:
    """The picture arrives whole: the answer knows its size."""
    answer = client.describe_image("Topic?", draw_png("subject", width=30, height=20))
    assert answer == "I see a PNG picture of 30 x 20 pixels. You asked: Topic?"
    assert server.books(VISION).answered == {"200": 1}


def test_a_broken_picture_is_a_bad_request(client: GoogleAiClient) -> None:
    """A picture that is none raises what the SDK raises for Google's 400."""
    with pytest.raises(exceptions.BadRequest, match="Unable to process input image"):
        client.describe_image("Topic?", b"no picture")


def test_a_picture_is_drawn(server: GoogleAiServer, client: GoogleAiClient) -> None:
    """Imagen's answer comes back as a whole PNG of the prompt, which vision can read again."""
    png = client.generate_image("a cat")
    assert read_png(png).caption == "a cat"
    assert "128 x 128" in client.describe_image("Topic?", png)
    assert server.books(IMAGEN).answered == {"200": 1}


def test_an_answer_without_a_picture_is_an_error(
    server: GoogleAiServer, client: GoogleAiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drawing that was filtered away is a ValueError, and not an empty picture."""
    monkeypatch.setattr(
        "sharedbreaker.demo.google_ai_server.answers._predictions",
        lambda _: [{"raiFilteredReason": "no cats"}],
    )
    with pytest.raises(ValueError, match="no picture"):
        client.generate_image("a cat")


@pytest.mark.parametrize("service", GoogleAiService)
@pytest.mark.parametrize(
    ("status", "error", "requests_sent"),
    [
        (400, exceptions.BadRequest, 1),
        # google-auth takes a 401 for an outdated token and tries twice to renew it.
        (401, exceptions.Unauthorized, 3),
        (403, exceptions.Forbidden, 1),
        (404, exceptions.NotFound, 1),
        (429, exceptions.TooManyRequests, 1),
        (500, exceptions.InternalServerError, 1),
        (503, exceptions.ServiceUnavailable, 1),
        (504, exceptions.GatewayTimeout, 1),
    ],
)
def test_a_status_raises_its_exception_after_one_request(
    server: GoogleAiServer,
    client: GoogleAiClient,
    service: GoogleAiService,
    status: int,
    error: type[Exception],
    requests_sent: int,
) -> None:
    """Each error status raises Google's exception for it, and nothing is tried again."""
    server.behave(service, Behaviour(status=status))
    with pytest.raises(exceptions.GoogleAPICallError) as caught:
        CALLS[service](client)
    assert type(caught.value) is error
    assert server.books(service).answered == {str(status): requests_sent}


def test_retry_after_reaches_the_caller(server: GoogleAiServer, client: GoogleAiClient) -> None:
    """The time to stay away is in the exception's header and in its details."""
    server.behave(TEXT, Behaviour(status=429, retry_after=47.5))
    with pytest.raises(exceptions.TooManyRequests) as caught:
        client.generate_text("x")
    assert caught.value.response.headers["Retry-After"] == "48"
    assert caught.value.details[0]["retryDelay"] == "47.5s"


def test_failures_run_out(server: GoogleAiServer, client: GoogleAiClient) -> None:
    """After as many failures as the server was told, the same client succeeds."""
    server.behave(TEXT, Behaviour(status=503, failures=2))
    for _ in range(2):
        with pytest.raises(exceptions.ServiceUnavailable):
            client.generate_text("x")
    assert client.generate_text("x") == "You asked: x"


@pytest.mark.parametrize("service", GoogleAiService)
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.HANG, requests.exceptions.ReadTimeout),
        (Fault.CUT, requests.exceptions.ConnectionError),
        (Fault.CUT_MID_ANSWER, requests.exceptions.ChunkedEncodingError),
        (Fault.BROKEN_JSON, ParseError),
    ],
)
def test_a_fault_raises_its_exception_after_one_request(
    server: GoogleAiServer, service: GoogleAiService, fault: Fault, error: type[Exception]
) -> None:
    """Each fault raises what the SDK lets through for it; a hang ends by the client's timeout."""
    client = GoogleAiClient("key", server.url, timeout=0.1 if fault is Fault.HANG else 5)
    server.behave(service, Behaviour(fault=fault))
    with pytest.raises(error):
        CALLS[service](client)
    until(lambda: server.books(service).in_flight == 0)
    assert server.books(service).answered == {fault.value: 1}


def test_a_stopped_server_refuses(server: GoogleAiServer, client: GoogleAiClient) -> None:
    """Without a server the call fails at once, and with it back the same client succeeds."""
    server.stop()
    with pytest.raises(requests.exceptions.ConnectionError):
        client.generate_text("x")
    server.start()
    assert client.generate_text("x") == "You asked: x"


def test_a_stream_is_read(client: GoogleAiClient) -> None:
    """The SDK reads the JSON array of a stream piece by piece."""
    model: Any = client._sdk().text_model
    stream = model.generate_content(
        'Say {"[so]"}', stream=True, request_options={"retry": None, "timeout": 5}
    )
    pieces = [piece.text for piece in stream]
    assert len(pieces) > 1
    assert "".join(pieces) == 'You asked: Say {"[so]"}'


def test_an_error_of_a_stream_hides_its_status(server: GoogleAiServer, client: GoogleAiClient) -> None:
    """The SDK cannot read an error in an array, which is how Google sends it in a stream."""
    server.behave(TEXT, Behaviour(status=503))
    model: Any = client._sdk().text_model
    with pytest.raises(exceptions.BadRequest, match="Unknown error"):
        model.generate_content("x", stream=True, request_options={"retry": None, "timeout": 5})


def test_threads_get_their_own_answers(server: GoogleAiServer, client: GoogleAiClient) -> None:
    """Sixteen threads that share a client each read the answers to their own prompts."""
    server.behave(TEXT, Behaviour(delay=0.005))
    prompts = [f"question {number}" for number in range(160)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(client.generate_text, prompts))
    assert answers == [f"You asked: {prompt}" for prompt in prompts]
    assert server.books(TEXT).answered == {"200": 160}


def test_clients_of_two_servers_live_side_by_side(client: GoogleAiClient) -> None:
    """Each client asks the server that it was made for, whichever was made last."""
    with GoogleAiServer() as other:
        other_client = GoogleAiClient("key", f"{other.url}/")
        for _ in range(2):
            client.generate_text("x")
            other_client.generate_text("x")
        assert other.books(TEXT).arrived == 2
        assert other_client._sdk().imagen.transport.host == other.url


FORKING_PROGRAM = """
import os, sys
from sharedbreaker.demo.google_ai_client import GoogleAiClient
client = GoogleAiClient("key", sys.argv[1])
client.generate_text("warm")
child = os.fork()
for number in range(30):
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
    assert server.books(TEXT).answered == {"200": 61}


def test_a_missing_sdk_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the SDK a client can be made, and its first call says what to install."""
    client = GoogleAiClient("key", None)
    monkeypatch.setitem(sys.modules, "google.generativeai", None)
    monkeypatch.delattr("google.generativeai", raising=False)
    with pytest.raises(ImportError, match=r"sharedbreaker\[demo\]"):
        client.generate_text("x")


def test_without_an_address_google_itself_is_asked() -> None:
    """A client without base_url is one of Google's own address; nothing is sent here."""
    sdk = GoogleAiClient("key", None)._sdk()
    assert sdk.imagen.transport.host == "https://generativelanguage.googleapis.com"
    assert sdk.text_model._client.transport.host == sdk.imagen.transport.host
