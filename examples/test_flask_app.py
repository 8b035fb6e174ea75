"""How the Flask app of flask_app.py is tested: without Redis, without Google, and without waiting.

pip install 'sharedbreaker[flask,google-genai,testing]'
pytest test_flask_app.py
"""

import pytest
from flask.testing import FlaskClient
from flask_app import create_app

from sharedbreaker import CircuitBreaker, get_all_breakers
from sharedbreaker.demo.google_ai_server import GoogleAiServer, GoogleAiService
from sharedbreaker.testing import InProcessCircuits, end_open_period, held_open

pytest_plugins = ["sharedbreaker.testing.fixtures"]

TEXT = GoogleAiService.TEXT


@pytest.fixture
def client(google_ai_server: GoogleAiServer, in_process_circuits: InProcessCircuits) -> FlaskClient:
    """Return a client of the app, whose breakers share nothing with anybody."""
    app = create_app()
    for breaker in get_all_breakers().values():
        assert breaker is not None
        in_process_circuits.take(breaker)
    return app.test_client()


@pytest.fixture
def text(client: FlaskClient) -> CircuitBreaker:
    """Return the app's breaker of text generation."""
    breaker = get_all_breakers()["text_generation"]
    assert breaker is not None
    return breaker


def test_explains(client: FlaskClient) -> None:
    """The answer is Google AI's."""
    assert "Explain tides" in client.get("/explanation?topic=tides").text


def test_says_that_google_failed(client: FlaskClient, google_ai_server: GoogleAiServer) -> None:
    """One failure is told as such, and the next call is made again."""
    google_ai_server.play(TEXT, 500)
    assert [client.get("/explanation?topic=tides").status_code for _ in range(2)] == [502, 200]


def test_stops_asking(client: FlaskClient, google_ai_server: GoogleAiServer) -> None:
    """After five failures nothing is asked any more, and the caller is told when to come back."""
    google_ai_server.play(TEXT, *[503] * 9)
    statuses = [client.get("/explanation?topic=tides").status_code for _ in range(8)]

    assert statuses == [502] * 5 + [503] * 3
    assert client.get("/explanation?topic=tides").headers["Retry-After"] == "60"
    assert google_ai_server.books(TEXT).arrived == 5


def test_comes_back(client: FlaskClient, text: CircuitBreaker, google_ai_server: GoogleAiServer) -> None:
    """When the open period is over and Google AI answers again, so does the app."""
    google_ai_server.play(TEXT, *[503] * 5)
    for _ in range(5):
        client.get("/explanation?topic=tides")
    end_open_period(text)

    assert [client.get("/explanation?topic=tides").status_code for _ in range(3)] == [200] * 3
    assert text.get_state()["state"] == "closed"


def test_one_service_blocks_no_other(client: FlaskClient, text: CircuitBreaker) -> None:
    """Pictures are drawn while texts are held back."""
    with held_open(text, 90):
        assert client.get("/explanation?topic=tides").status_code == 503
        assert client.get("/picture?of=a+cat").status_code == 200
