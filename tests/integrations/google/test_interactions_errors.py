"""google-genai's interactions raise a family of errors of their own, judged by the same rules."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from addresses import Address, nobody
from ways import HAS_GENAI, genai_client

from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.google_errors import outcome_of, retry_after_of

if not HAS_GENAI:
    pytest.skip("google-genai is not installed", allow_module_level=True)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*xperimental"),
    # The SDK leaves the connection of an answer that it cannot read to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22s"}


class Interactions(BaseHTTPRequestHandler):
    """Answers every interaction with the same status; 200 with what is no JSON."""

    status = 200

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        error = {"code": self.status, "message": "told to", "status": "TOLD", "details": [RETRY_INFO]}
        body = b"{" if self.status == 200 else json.dumps({"error": error}).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        # The SDK obeys it, whatever it says about retries.
        self.send_header("x-should-retry", "false")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass


@pytest.fixture
def address() -> Iterator[Address]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Interactions)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield Address(f"http://127.0.0.1:{server.server_port}", "")
    server.shutdown()
    server.server_close()
    thread.join()


def error_of_interaction(address: Address) -> BaseException:
    with genai_client(address, 5) as client, pytest.raises(Exception) as caught:  # noqa: PT011 - the SDK's
        client.interactions.create(model="m", input="hi")
    return caught.value


@pytest.mark.parametrize(
    ("status", "outcome", "seconds"),
    [
        (400, Outcome.IGNORED, None),
        (404, Outcome.IGNORED, None),
        (429, Outcome.FAILURE, 22.0),
        (503, Outcome.FAILURE, 22.0),
        (200, Outcome.FAILURE, None),
    ],
)
def test_an_interaction_that_fails_is_judged_by_its_status(
    address: Address, monkeypatch: pytest.MonkeyPatch, status: int, outcome: Outcome, seconds: float | None
) -> None:
    """Its errors keep the status and the details elsewhere than the others do."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(Interactions, "status", status)
    error = error_of_interaction(address)

    assert outcome_of(error) is outcome, error
    assert retry_after_of(error) == seconds


def test_an_interaction_that_is_refused_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # 1.75 waits before it tries again, whatever it was told.
    monkeypatch.setattr("time.sleep", lambda _: None)

    assert outcome_of(error_of_interaction(nobody())) is Outcome.FAILURE
