"""The Flask extension: a rejection, wherever in a view it comes from, is a 503 with when to come back."""

from __future__ import annotations

import subprocess
import sys
from typing import NoReturn

import pytest
from flask import Blueprint, Flask, Response
from flask.typing import ResponseReturnValue
from redis import Redis

from sharedbreaker import CircuitBreaker, CircuitBreakerError
from sharedbreaker.integrations.flask import RejectionResponses

REJECTED = {"outcome": "rejected", "breaker": "upstream", "state": "open"}


@pytest.fixture
def breaker(redis: Redis) -> CircuitBreaker:
    return CircuitBreaker(name="upstream", redis=redis, redis_timeout=5)


@pytest.fixture
def app(breaker: CircuitBreaker) -> Flask:
    app = Flask("shop")
    app.add_url_rule("/", view_func=lambda: breaker.call(lambda: "called"))
    return app


@pytest.mark.parametrize(
    ("seconds", "retry_after"), [(0.4, "1"), (1, "1"), (41.4, "42"), (3600, "3600"), (None, None)]
)
def test_a_rejection_is_a_503_that_says_when_to_come_back(
    app: Flask, breaker: CircuitBreaker, seconds: float | None, retry_after: str | None
) -> None:
    """Retry-After is in whole seconds, rounded up, at least one, and left out where nobody knows."""
    RejectionResponses(app)
    web = app.test_client()
    assert web.get("/").text == "called"
    breaker.force_open("a secret reason", seconds=seconds)

    answer = web.get("/")

    assert answer.status_code == 503
    assert answer.headers.get("Retry-After") == retry_after
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.mimetype == "application/json"
    assert answer.json is not None
    wait = answer.json["retry_after"]
    assert answer.json == {**REJECTED, "retry_after": wait}
    assert wait is None if seconds is None else 0 < wait <= seconds


def test_what_an_operator_wrote_and_where_redis_is_stays_inside(redis: Redis, app: Flask) -> None:
    """The answer has neither a reason nor an address: those are for operators."""
    RejectionResponses(app)
    CircuitBreaker(name="upstream", redis=redis).force_open("hushhush")

    answer = app.test_client().get("/")

    told = f"{answer.headers}{answer.text}"
    assert answer.status_code == 503
    assert "hushhush" not in told
    assert "127.0.0.1" not in told


def test_a_circuit_that_failed_rejects_by_itself(redis: Redis) -> None:
    """Failures are answered as before, and once they opened the circuit, 503 with what is left of it."""
    breaker = CircuitBreaker(2, 30, name="upstream", redis=redis, redis_timeout=5)
    app = Flask("shop")
    RejectionResponses(app)

    @app.route("/")
    def call() -> str:
        return breaker.call(fail)

    web = app.test_client()
    answers = [web.get("/") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [500, 500, 503, 503]
    assert answers[2].headers["Retry-After"] == "30"


def fail() -> NoReturn:
    raise OSError("gone")


@pytest.mark.parametrize("setting", ["DEBUG", "TESTING", "PROPAGATE_EXCEPTIONS"])
def test_debug_mode_changes_nothing(app: Flask, breaker: CircuitBreaker, setting: str) -> None:
    """Settings that let errors through to a debugger let no rejection through."""
    app.config[setting] = True
    RejectionResponses(app)
    breaker.force_open()

    assert app.test_client().get("/").status_code == 503


def test_blueprints_and_hooks_are_answered_alike(breaker: CircuitBreaker) -> None:
    """A rejection in a blueprint's view or before a request is a 503 too, with an app made by a factory."""
    extension = RejectionResponses()
    blueprint = Blueprint("inner", __name__, url_prefix="/inner")
    blueprint.add_url_rule("/", view_func=lambda: breaker.call(lambda: "called"))
    apps = [Flask("one"), Flask("two")]
    for app in apps:
        extension.init_app(app)
    apps[0].register_blueprint(blueprint)
    apps[1].before_request(lambda: breaker.call(lambda: None))
    breaker.force_open()

    answers = [apps[0].test_client().get("/inner/"), apps[1].test_client().get("/")]

    assert [answer.status_code for answer in answers] == [503, 503]
    assert all(answer.json == {**REJECTED, "retry_after": None} for answer in answers)
    assert all(app.extensions["sharedbreaker"] is extension for app in apps)


def own_answer(error: Exception) -> ResponseReturnValue:
    return f"mine: {type(error).__name__}", 418


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_a_handler_of_ones_own_for_rejections_wins(app: Flask, breaker: CircuitBreaker, first: str) -> None:
    """Whether registered before the extension or after it, the user's handler answers."""
    if first == "ours":
        RejectionResponses(app)
    app.register_error_handler(CircuitBreakerError, own_answer)
    if first == "theirs":
        RejectionResponses(app)
    breaker.force_open()

    assert app.test_client().get("/").text == "mine: CircuitBreakerError"


def test_handlers_of_ones_own_for_other_errors_go_on(app: Flask, breaker: CircuitBreaker) -> None:
    """Handlers for Exception and for 404 answer what they answered before, and rejections stay 503."""
    app.register_error_handler(Exception, own_answer)
    app.register_error_handler(404, lambda _: ("not here", 404))
    RejectionResponses(app)
    app.add_url_rule("/broken", view_func=fail)
    web = app.test_client()
    breaker.force_open()

    assert web.get("/broken").text == "mine: OSError"
    assert web.get("/nowhere").text == "not here"
    assert web.get("/").status_code == 503


def test_what_comes_after_a_response_sees_it(app: Flask, breaker: CircuitBreaker) -> None:
    """An after_request hook, such as one that adds CORS headers, runs on the 503 as on any answer."""
    RejectionResponses(app)

    @app.after_request
    def allow(response: Response) -> Response:
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response

    breaker.force_open()
    answer = app.test_client().get("/")

    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (503, "*")


def test_a_second_registration_is_refused(app: Flask) -> None:
    """One app takes one: the second init_app says so and names the app."""
    extension = RejectionResponses(app)
    for again in (extension, RejectionResponses()):
        with pytest.raises(RuntimeError, match=r"\(shop\) already"):
            again.init_app(app)


def test_without_flask_the_extra_is_named() -> None:
    """Importing the integration where Flask is not installed says what to install."""
    code = "import sys; sys.modules['flask'] = None; import sharedbreaker.integrations.flask"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "ImportError: sharedbreaker.integrations.flask needs Flask" in done.stderr
    assert "pip install 'sharedbreaker[flask]'" in done.stderr
