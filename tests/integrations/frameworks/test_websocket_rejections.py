"""The ASGI middleware where a circuit rejects a call of a WebSocket, under a real uvicorn."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from redis import Redis
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, CircuitBreakerError, CircuitState
from sharedbreaker.integrations.asgi import RejectionMiddleware
from uvicorn_server import serving


@pytest.fixture
def app(redis: Redis) -> FastAPI:
    breaker = AsyncCircuitBreaker(name="upstream", redis=redis, redis_timeout=5)
    app = FastAPI()
    app.add_middleware(RejectionMiddleware)

    @app.websocket("/accepted")
    async def accepted(socket: WebSocket) -> None:
        await socket.accept()
        while True:
            text = await socket.receive_text()
            await socket.send_text(await breaker.call(asyncio.sleep, 0, text))

    @app.websocket("/asked-first")
    async def asked_first(socket: WebSocket) -> None:
        await breaker.call(asyncio.sleep, 0)
        await socket.accept()

    return app


def test_an_open_socket_is_closed_with_try_again_later(redis: Redis, app: FastAPI) -> None:
    """A rejection in the middle of a conversation closes it with code 1013 and which circuit it was."""
    with serving(app) as address, connect(f"ws://{address}/accepted", proxy=None) as socket:
        socket.send("hello")
        assert socket.recv(10) == "hello"
        CircuitBreaker(name="upstream", redis=redis).force_open("hushhush")
        socket.send("hello")
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv(10)

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1013, "open: upstream")


def test_a_handshake_is_answered_with_503(redis: Redis, app: FastAPI) -> None:
    """A rejection before the socket is accepted is the same 503 as elsewhere, where the server can say so."""
    CircuitBreaker(name="upstream", redis=redis).force_open(seconds=41.4)
    with (
        serving(app) as address,
        pytest.raises(InvalidStatus) as refused,
        connect(f"ws://{address}/asked-first", proxy=None),
    ):
        pass

    response = refused.value.response
    assert (response.status_code, response.headers["Retry-After"]) == (503, "42")
    assert response.body is not None
    assert json.loads(response.body)["breaker"] == "upstream"


NAME = "n" * 128
REFUSAL = CircuitBreakerError(NAME, CircuitState.HALF_OPEN, 1, "probes_busy")


def sent_after(*messages: str, received: tuple[str, ...] = ()) -> list[Any]:
    sent: list[Any] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send({"type": message})
        for _ in received:
            await receive()
        raise REFUSAL

    async def send(message: Any) -> None:
        sent.append(message)

    waiting = iter(received)

    async def receive() -> Any:
        return {"type": next(waiting)}

    asyncio.run(RejectionMiddleware(app)({"type": "websocket"}, receive, send))
    return sent[len(messages) :]


def test_a_server_that_cannot_answer_a_handshake_refuses_it() -> None:
    """Without the ASGI extension the close is all there is, with a reason that fits into its frame."""
    (close,) = sent_after()

    assert (close["type"], close["code"]) == ("websocket.close", 1013)
    assert len(close["reason"]) == 123
    assert close["reason"].startswith("half_open: nnn")


@pytest.mark.parametrize("before", ["websocket.close", "websocket.http.response.start"])
def test_a_socket_that_the_app_has_closed_is_left_alone(before: str) -> None:
    """What the app has ended is not ended again: the error goes on."""
    with pytest.raises(CircuitBreakerError):
        sent_after(before)


def test_a_socket_whose_client_has_gone_is_left_alone() -> None:
    """Nobody is there to be told: the error goes on."""
    with pytest.raises(CircuitBreakerError):
        sent_after("websocket.accept", received=("websocket.disconnect",))
