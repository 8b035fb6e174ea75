"""The fixtures as users get them, and a server that plays what it is told."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import requests
from redis import Redis

from guarded_calls import ServiceDownError
from sharedbreaker import CircuitBreaker
from sharedbreaker.demo.google_ai_server import Behaviour, Content, Fault, GoogleAiServer, GoogleAiService
from sharedbreaker.testing import InProcessCircuits, trip

pytest_plugins = ["sharedbreaker.testing.fixtures"]

TEXT = GoogleAiService.TEXT
PROMPT = {"contents": [{"parts": [{"text": "Why?"}]}]}


def ask(server: GoogleAiServer) -> requests.Response:
    url = f"{server.url}/v1beta/models/gemini-2.5-flash:generateContent"
    return requests.post(url, json=PROMPT, timeout=20, headers={"x-goog-api-key": "k"})


def test_in_process_circuits(in_process_circuits: InProcessCircuits) -> None:
    """The fixture gives circuits for the test's time."""
    breaker = in_process_circuits.take(CircuitBreaker(name="orders", redis="redis://nowhere.invalid"))
    trip(breaker)
    assert breaker.get_state()["state"] == "open"


@pytest.mark.parametrize("turn", [1, 2])
def test_circuit_redis_is_real_and_empty(circuit_redis: str, turn: int) -> None:
    """Each test begins with an empty server, which a new breaker finds by itself."""
    breaker = CircuitBreaker(name="orders")
    with Redis.from_url(circuit_redis, decode_responses=True) as client:
        assert client.dbsize() == 0
        trip(breaker, ServiceDownError("503"))
        assert client.hget("sharedbreaker:{orders}", "state") == "open"


def test_what_is_held_back_comes_into_no_other_test(left_over_breaker: CircuitBreaker) -> None:
    """A breaker that outlives its test owes nothing when the test is over."""
    assert left_over_breaker.unwritten_calls == 0


@pytest.fixture
def left_over_breaker(request: pytest.FixtureRequest) -> CircuitBreaker:
    """A breaker that held results back in a circuit_redis that is over."""
    from sharedbreaker.testing import fixtures

    server = request.getfixturevalue("circuit_redis_server")
    with pytest.MonkeyPatch.context() as patch:
        turn = fixtures.circuit_redis.__wrapped__(server, patch)  # type: ignore[attr-defined]
        next(turn)
        breaker = CircuitBreaker(name="orders", max_staleness=600)
        breaker.call(lambda: None)
        assert breaker.unwritten_calls == 1
        with pytest.raises(StopIteration):
            next(turn)
    return breaker


def test_google_ai_server_is_where_the_sdk_looks(google_ai_server: GoogleAiServer) -> None:
    """The SDK's variable leads to the server, which answers."""
    assert os.environ["GOOGLE_GEMINI_BASE_URL"] == google_ai_server.url
    assert "Why?" in ask(google_ai_server).text


def test_a_script_is_played_call_by_call(google_ai_server: GoogleAiServer) -> None:
    """Each call gets what stands next in the script; after its end all is well."""
    google_ai_server.play(
        TEXT, 503, Behaviour(status=429, retry_after=30), Fault.CUT, Content.SAFETY, 200, 500
    )
    assert ask(google_ai_server).status_code == 503
    limited = ask(google_ai_server)
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "30")
    with pytest.raises(requests.ConnectionError):
        ask(google_ai_server)
    assert ask(google_ai_server).json()["candidates"][0]["finishReason"] == "SAFETY"
    assert [ask(google_ai_server).status_code for _ in range(4)] == [200, 500, 200, 200]


def test_a_behaviour_with_failures_stands_for_so_many_calls(google_ai_server: GoogleAiServer) -> None:
    """Three failures in the script are three calls."""
    google_ai_server.play(TEXT, Behaviour(status=500, failures=3), 503)
    assert [ask(google_ai_server).status_code for _ in range(5)] == [500, 500, 500, 503, 200]


def test_other_orders_end_a_script(google_ai_server: GoogleAiServer) -> None:
    """What was not played by then is not played any more; and other services play nothing."""
    google_ai_server.play(TEXT, 503, 503)
    google_ai_server.heal(TEXT)
    assert ask(google_ai_server).status_code == 200
    google_ai_server.play(GoogleAiService.VISION, 503)
    assert ask(google_ai_server).status_code == 200


def test_a_script_is_checked_where_it_is_told(google_ai_server: GoogleAiServer) -> None:
    """What no service can do is refused, and nothing of the script is played."""
    with pytest.raises(ValueError, match="status must be"):
        google_ai_server.play(TEXT, 503, 302)
    assert ask(google_ai_server).status_code == 200


def test_only_the_fixtures_need_pytest() -> None:
    """The helpers load nothing but what the core needs."""
    code = (
        "import sys, sharedbreaker.testing; print({'pytest', 'flask', 'google.genai'} & sys.modules.keys())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
