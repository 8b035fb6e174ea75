"""Wild cases of the web: what a client, a proxy and Kubernetes are told."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import requests
from case_kinds import strict_and_stale
from fastapi import Depends, FastAPI
from flask import Flask, Response, stream_with_context
from redis import Redis
from starlette.responses import StreamingResponse
from web_fixtures import serve as serve

from circuit_in_redis import CircuitInRedis, fail, new_breaker, trip
from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, CircuitBreakerError
from sharedbreaker.integrations.asgi import RejectionMiddleware
from sharedbreaker.integrations.flask import RejectionResponses
from sharedbreaker.integrations.http_rejection import retry_after_seconds
from uvicorn_server import serving


def work() -> str:
    return "called"


async def async_work() -> str:
    return "called"


def flask_answers(redis: Redis, staleness: float) -> Callable[[str], tuple[int, Any, Any]]:
    breaker = CircuitBreaker(name="orders", redis=redis, redis_timeout=5, max_staleness=staleness)
    app = Flask("shop")
    RejectionResponses(app)
    app.add_url_rule("/view", view_func=lambda: breaker.call(work), endpoint="view")

    @app.before_request
    def hook() -> None:
        from flask import request

        if request.path == "/hook":
            breaker.call(work)

    @app.get("/stream")
    def stream() -> Response:
        pieces = iter([breaker.call(work)])
        return Response(stream_with_context(pieces))

    def ask(path: str) -> tuple[int, Any, Any]:
        answer = app.test_client().get(path)
        return answer.status_code, answer.headers, answer.json

    return ask


def fastapi_app(redis: Redis, staleness: float) -> FastAPI:
    breaker = AsyncCircuitBreaker(name="orders", redis=redis, redis_timeout=5, max_staleness=staleness)
    app = FastAPI()
    app.add_middleware(RejectionMiddleware)

    async def guarded() -> str:
        return await breaker.call(async_work)

    async def pieces(first: str) -> AsyncIterator[str]:
        yield first

    @app.get("/view")
    async def view() -> str:
        return await breaker.call(async_work)

    @app.get("/hook", dependencies=[Depends(guarded)])
    async def dependency() -> str:
        return "called"

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(pieces(await breaker.call(async_work)))

    return app


@strict_and_stale
@pytest.mark.parametrize("framework", ["flask", "fastapi"])
def test_sb095_an_open_circuit_is_503_and_no_error_of_the_app(
    redis: Redis, caplog: pytest.LogCaptureFixture, framework: str, max_staleness: float
) -> None:
    """In a view, a dependency or hook, and a stream that has not begun: 503 in JSON, for no cache."""
    trip(new_breaker(redis), redis)
    paths = ("/view", "/hook", "/stream")
    if framework == "flask":
        answers = [flask_answers(redis, max_staleness)(path) for path in paths]
    else:
        with serving(fastapi_app(redis, max_staleness)) as address:
            got = [requests.get(f"http://{address}{path}", timeout=20) for path in paths]
        answers = [(answer.status_code, answer.headers, answer.json()) for answer in got]

    for status, headers, document in answers:
        assert status == 503
        assert (document["breaker"], document["outcome"]) == ("orders", "rejected")
        assert headers["Cache-Control"] == "no-store"
        assert 1 <= int(headers["Retry-After"]) <= 60
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_sb095_it_can_be_answered_otherwise(redis: Redis) -> None:
    """A handler of the app's own for CircuitBreakerError answers in the place of ours, in both."""
    breaker = new_breaker(redis)
    trip(breaker, redis)
    app = Flask("shop")
    app.add_url_rule("/view", view_func=lambda: breaker.call(work))
    RejectionResponses(app)
    app.register_error_handler(CircuitBreakerError, lambda error: (f"later, {error.name}", 429))
    api = fastapi_app(redis, 0)

    async def mine(_request: object, error: Exception) -> Any:
        from starlette.responses import PlainTextResponse

        assert isinstance(error, CircuitBreakerError)
        return PlainTextResponse(f"later, {error.name}", 429)

    api.add_exception_handler(CircuitBreakerError, mine)
    with serving(api) as address:
        there = requests.get(f"http://{address}/view", timeout=20)

    here = app.test_client().get("/view")
    assert (here.status_code, here.text) == (there.status_code, there.text) == (429, "later, orders")


def waits_of(breaker: CircuitBreaker) -> tuple[float | None, str | None]:
    """What a rejection says of when to come back: as an exception, and as Flask's header."""
    app = Flask("shop")
    RejectionResponses(app)
    app.add_url_rule("/", view_func=lambda: breaker.call(work))
    answer = app.test_client().get("/")
    assert answer.status_code == 503
    return answer.get_json()["retry_after"], answer.headers.get("Retry-After")


@strict_and_stale
@pytest.mark.parametrize(("timeout", "asked_for"), [(8, None), (30, None), (30, 53), (600, 53)])
def test_sb096_retry_after_is_what_is_left_of_the_opening(
    redis: Redis, max_staleness: float, timeout: float, asked_for: float | None
) -> None:
    """It counts down with the opening, also with one that the service asked for, whole and 1 at least."""
    breaker = new_breaker(
        redis, timeout=timeout, retry_after_of=lambda _error: asked_for, max_staleness=max_staleness
    )
    fail(breaker, 3)
    circuit = CircuitInRedis(redis)
    whole_ms = circuit.number("open_until") - circuit.number("opened_at")
    assert whole_ms == 1000 * max(asked_for or 0, timeout)

    for elapsed_ms in (0, whole_ms // 4, whole_ms // 4):
        circuit.elapse(elapsed_ms)
        time.sleep(max_staleness)
        earliest = circuit.number("open_until") - circuit.now_ms()
        wait, header = waits_of(breaker)
        latest = circuit.number("open_until") - circuit.now_ms()
        assert wait is not None
        assert latest - 1 <= 1000 * wait <= earliest + 1
        assert header == retry_after_seconds(wait)
        assert header is not None
        assert int(header) >= max(1, wait)


@strict_and_stale
def test_sb096_half_open_and_busy_is_a_short_wait(redis: Redis, max_staleness: float) -> None:
    """While all probes are under way, the wait is at most as long as a probe may keep its place."""
    breaker = new_breaker(redis, success_threshold=1, max_staleness=max_staleness)
    circuit = trip(breaker, redis)
    circuit.end_open_period()
    time.sleep(max_staleness)
    probe = breaker.admit()
    time.sleep(max_staleness)

    wait, header = waits_of(breaker)

    assert wait is not None
    assert 0 < wait <= 20
    assert header == retry_after_seconds(wait)
    assert probe.token.startswith("probe:")


@strict_and_stale
@pytest.mark.parametrize(("seconds", "header"), [(None, None), (90, "90"), (41.5, "42")])
def test_sb096_a_hold_says_when_it_ends_or_nothing(
    redis: Redis, max_staleness: float, seconds: float | None, header: str | None
) -> None:
    """Held for a time, that time is told; held without an end, nothing is: nobody knows."""
    breaker = new_breaker(redis, max_staleness=max_staleness)
    breaker.force_open(seconds=seconds)

    wait, told = waits_of(breaker)
    assert told == header
    assert (wait is None) == (seconds is None)


@pytest.mark.parametrize("seconds", [-5.0, 0.0, 1e-9])
def test_sb096_it_is_never_zero_or_negative(seconds: float) -> None:
    """However little is left, or whatever a clock says, a client is told a second at least."""
    assert retry_after_seconds(seconds) == "1"


@pytest.mark.parametrize("kind", ["flask", "fastapi"])
def test_peer_a_rejection_that_another_process_caused_has_its_retry_after(redis: Redis, kind: str) -> None:
    """A worker that has seen no failure tells when to come back as well as the one that has."""
    trip(new_breaker(redis), redis)
    if kind == "flask":
        _, headers, _ = flask_answers(redis, 0)("/view")
    else:
        with serving(fastapi_app(redis, 0)) as address:
            headers = requests.get(f"http://{address}/view", timeout=20).headers

    assert 1 <= int(headers["Retry-After"]) <= 60
