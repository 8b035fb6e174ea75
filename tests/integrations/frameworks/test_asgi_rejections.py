"""The ASGI middleware, under a real uvicorn: a rejection is a 503 that says when to come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import requests
from fastapi import BackgroundTasks, Depends, FastAPI
from redis import Redis
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, CircuitBreakerError, CircuitState
from sharedbreaker.integrations.asgi import RejectionMiddleware
from uvicorn_server import serving

REJECTED = {"outcome": "rejected", "breaker": "upstream", "state": "open"}


@pytest.fixture
def breaker(redis: Redis) -> AsyncCircuitBreaker:
    return AsyncCircuitBreaker(name="upstream", redis=redis, redis_timeout=5)


@pytest.fixture
def held(redis: Redis) -> CircuitBreaker:
    """The same circuit, held open."""
    breaker = CircuitBreaker(name="upstream", redis=redis, redis_timeout=5)
    breaker.force_open("hushhush", seconds=41.4)
    return breaker


def fastapi_app(breaker: AsyncCircuitBreaker, **settings: Any) -> FastAPI:
    app = FastAPI(**settings)
    app.add_middleware(RejectionMiddleware)

    async def ask() -> str:
        return "called"

    async def asked() -> AsyncIterator[str]:
        yield await breaker.call(ask)

    async def pieces() -> AsyncIterator[str]:
        yield "begun"
        yield await breaker.call(ask)

    @app.get("/")
    async def call() -> str:
        return await breaker.call(ask)

    @app.get("/dependency", dependencies=[Depends(asked)])
    async def dependency() -> str:
        return "called"

    @app.get("/stream")
    async def stream() -> Response:
        return StreamingResponse(pieces())

    @app.get("/background")
    async def background(tasks: BackgroundTasks) -> str:
        tasks.add_task(breaker.call, ask)
        return "answered"

    @app.get("/broken")
    async def broken() -> str:
        raise OSError("gone")

    return app


def get(address: str, path: str = "/", **options: Any) -> requests.Response:
    return requests.get(f"http://{address}{path}", timeout=10, **options)


@pytest.mark.parametrize("debug", [False, True])
def test_a_rejection_in_fastapi_is_a_503(redis: Redis, breaker: AsyncCircuitBreaker, debug: bool) -> None:
    """In a view and in a dependency, in debug mode too; calls that are let through are as they were."""
    own = CircuitBreaker(name="upstream", redis=redis, redis_timeout=5)
    with serving(fastapi_app(breaker, debug=debug)) as address:
        assert get(address).json() == "called"
        own.force_open("hushhush", seconds=41.4)
        answers = [get(address), get(address, "/dependency")]
        own.force_open()
        endless = get(address)
        own.force_close()
        assert get(address).json() == "called"

    for answer in answers:
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "42")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Type"] == "application/json"
        wait = answer.json()["retry_after"]
        assert 0 < wait <= 41.4
        assert answer.json() == {**REJECTED, "retry_after": wait}
        assert "hushhush" not in f"{answer.headers}{answer.text}"
    assert "Retry-After" not in endless.headers
    assert endless.json() == {**REJECTED, "retry_after": None}


def test_other_errors_are_as_they_were(breaker: AsyncCircuitBreaker, held: CircuitBreaker) -> None:
    """An error that is no rejection is a 500, and a background task's comes after the answer."""
    with serving(fastapi_app(breaker)) as address:
        assert get(address, "/broken").status_code == 500
        assert get(address, "/nowhere").status_code == 404
        after = get(address, "/background")
        assert (after.status_code, after.json()) == (200, "answered")


def test_a_response_that_has_begun_is_cut_off(breaker: AsyncCircuitBreaker, held: CircuitBreaker) -> None:
    """A rejection in mid-stream cannot be a 503 any more: the client sees that the answer is not whole."""
    with (
        serving(fastapi_app(breaker)) as address,
        pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)),
    ):
        get(address, "/stream")


def test_it_works_among_starlettes_own_middleware(breaker: AsyncCircuitBreaker, held: CircuitBreaker) -> None:
    """Added first, its answers get CORS headers and pass function middleware, mounted apps included."""

    async def view(_: Request) -> Response:
        return PlainTextResponse(await breaker.call(asyncio.sleep, 0, "called"))

    app = Starlette(routes=[Mount("/inner", routes=[Route("/", view)])])
    app.add_middleware(RejectionMiddleware)
    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    with serving(app) as address:
        answer = get(address, "/inner/", headers={"Origin": "http://shop"})

    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (503, "*")


def test_function_middleware_lets_a_rejection_through(
    breaker: AsyncCircuitBreaker, held: CircuitBreaker
) -> None:
    """``@app.middleware("http")``, which runs the app in a task group, hands a rejection on."""
    app = FastAPI()

    @app.middleware("http")
    async def stamp(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        return await call_next(request)

    @app.get("/")
    async def call() -> Any:
        return await breaker.call(asyncio.sleep, 0)

    app.add_middleware(RejectionMiddleware)
    with serving(app) as address:
        assert get(address).status_code == 503


def test_a_handler_of_ones_own_wins(breaker: AsyncCircuitBreaker, held: CircuitBreaker) -> None:
    """An exception handler for CircuitBreakerError answers, and one for Exception gets the others."""

    async def mine(_: Request, error: Exception) -> Response:
        return PlainTextResponse(f"mine: {type(error).__name__}", 418)

    app = fastapi_app(breaker)
    app.add_exception_handler(Exception, mine)
    with serving(app) as address:
        assert get(address).status_code == 503
        assert get(address, "/broken").text == "mine: OSError"
    app = fastapi_app(breaker)
    app.add_exception_handler(CircuitBreakerError, mine)
    with serving(app) as address:
        assert get(address).text == "mine: CircuitBreakerError"


def test_the_lifespan_passes_through(breaker: AsyncCircuitBreaker) -> None:
    """Start and end of the app are the app's: a rejection there is an error of its own."""
    lived: list[str] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        lived.append("begun")
        yield
        lived.append("ended")

    with serving(RejectionMiddleware(fastapi_app(breaker, lifespan=lifespan))) as address:
        assert get(address).status_code == 200
        assert lived == ["begun"]
    assert lived == ["begun", "ended"]


def refusal(retry_after: float | None) -> CircuitBreakerError:
    return CircuitBreakerError(f"waits {retry_after}", CircuitState.OPEN, retry_after, "open")


class Group(Exception):  # noqa: N818 - as ExceptionGroup is, which Python 3.10 has not
    def __init__(self, *exceptions: Exception) -> None:
        self.exceptions = exceptions
        super().__init__("a group")


def sent_for(error: Exception, kind: str = "http", *messages: str) -> list[Any]:
    sent: list[Any] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for message in messages:
            await send({"type": message})
        raise error

    async def receive() -> Any:
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(RejectionMiddleware(app)({"type": kind}, receive, send))
    return sent


@pytest.mark.parametrize(
    ("waits", "retry_after"), [((2, 30), b"30"), ((30, 2), b"30"), ((2, None), None), ((0,), b"1")]
)
def test_a_group_of_rejections_is_answered_by_the_longest(
    waits: tuple[float | None, ...], retry_after: bytes | None
) -> None:
    """A TaskGroup's error of nothing but rejections, however nested, waits for the slowest circuit."""
    start, body = sent_for(Group(Group(*map(refusal, waits))))

    assert start["status"] == 503
    assert dict(start["headers"]).get(b"retry-after") == retry_after
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()


@pytest.mark.parametrize("error", [Group(refusal(1), OSError("gone")), Group(), OSError("gone")])
def test_what_is_more_than_rejections_is_raised(error: Exception) -> None:
    """A group that holds another error too is that error's, and goes on unchanged."""
    with pytest.raises(type(error)) as raised:
        sent_for(error)
    assert raised.value is error


@pytest.mark.parametrize(("kind", "messages"), [("http", ["http.response.start"]), ("lifespan", [])])
def test_where_no_answer_can_be_given_the_error_is_the_servers(kind: str, messages: list[str]) -> None:
    """A rejection after the response began, or in the lifespan, goes on to the server unchanged."""
    error = refusal(1)
    with pytest.raises(CircuitBreakerError) as raised:
        sent_for(error, kind, *messages)
    assert raised.value is error


def test_a_real_task_group_is_answered(breaker: AsyncCircuitBreaker, held: CircuitBreaker) -> None:
    """Calls side by side in a TaskGroup, of which the circuit rejects one or more, are a 503."""

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(breaker.call, asyncio.sleep, 0)
            group.start_soon(breaker.call, asyncio.sleep, 0)

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(RejectionMiddleware(app)({"type": "http"}, asyncio.sleep, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 503
