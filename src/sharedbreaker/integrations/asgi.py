"""FastAPI, Starlette, any ASGI app: a call that a circuit rejected becomes a 503 with when to come back.

app = FastAPI()
app.add_middleware(RejectionMiddleware)
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, TypeAlias

from sharedbreaker.circuit.errors import CircuitBreakerError
from sharedbreaker.integrations.http_rejection import STATUS, document_of, headers_of
from sharedbreaker.store.settling import tell_before_leaving

__all__ = ["RejectionMiddleware"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

TRY_AGAIN_LATER = 1013
"""The WebSocket close code of a server that cannot serve now, and will be able to."""
DENIAL = "websocket.http.response"
"""The ASGI extension by which a handshake is answered in HTTP."""
LONGEST_REASON = 123
"""Bytes that RFC 6455 leaves for a close frame's reason."""
_ENDS = {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}


class RejectionMiddleware:
    """Pure ASGI middleware that answers 503 where a CircuitBreakerError comes out of the app.

    The answer has ``Retry-After`` in whole seconds where anybody knows, ``Cache-Control: no-store``, and as
    its body JSON with ``breaker``, ``state`` and ``retry_after`` in seconds, or null. An exception group of
    nothing but rejections, as out of a TaskGroup, is answered by the one that takes longest.

    A WebSocket is closed with code 1013; before it is accepted, its handshake is answered as above where the
    server can, and refused where not. Once a response has begun there is nothing left to answer with: the
    error goes on to the server, which cuts the response off and logs it. So read a stream's first piece
    before the response begins. What fails in a background task comes after the response as well.

    An exception handler of your own for CircuitBreakerError is nearer to the app and goes first. Add this
    before any other middleware, so that CORS headers and the like, which those add, are on its answers too.

    When the server shuts the app down, what breakers with a ``max_staleness`` hold back is written.

    Args:
        app: the ASGI app to wrap.

    """

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, _telling_at_its_end(send))
            return
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        heard = set[str]()

        async def receive_and_note() -> Message:
            message = await receive()
            heard.add(message["type"])
            return message

        async def send_and_note(message: Message) -> None:
            heard.add(message["type"])  # before it is sent: what fails half-way has begun too
            await send(message)

        try:
            await self.app(scope, receive_and_note, send_and_note)
        except Exception as error:
            refusal = _refusal_in(error)
            answer = None if refusal is None else _answer(refusal, scope, heard)
            if answer is None:
                raise
        else:
            return
        for message in answer:
            await send(message)


def _telling_at_its_end(send: Send) -> Send:
    async def send_and_tell(message: Message) -> None:
        if message["type"] in _ENDS:
            # Uvicorn then ends its process by the signal that it got, and nothing is run at exit any more. No
            # request waits for the loop now, and each question to Redis is bounded.
            tell_before_leaving()
        await send(message)

    return send_and_tell


def _answer(refusal: CircuitBreakerError, scope: Scope, heard: set[str]) -> list[Message] | None:
    """Return the messages that tell the client, or None where it is too late to tell it anything."""
    if scope["type"] == "http":
        return None if "http.response.start" in heard else _response(refusal, "http.response")
    if heard & {"websocket.close", "websocket.disconnect", f"{DENIAL}.start"}:
        return None
    if "websocket.accept" not in heard and DENIAL in scope.get("extensions", {}):
        return _response(refusal, DENIAL)
    reason = f"{refusal.state.value}: {refusal.name}"[:LONGEST_REASON]
    return [{"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": reason}]


def _response(refusal: CircuitBreakerError, kind: str) -> list[Message]:
    body = json.dumps(document_of(refusal)).encode()
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **headers_of(refusal),
    }
    # ASGI wants the names in lower case.
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return [
        {"type": f"{kind}.start", "status": STATUS, "headers": pairs},
        {"type": f"{kind}.body", "body": body},
    ]


def _refusal_in(error: BaseException) -> CircuitBreakerError | None:
    """Return the rejection that ``error`` is, or the longest of those that it is made of and no others."""
    if isinstance(error, CircuitBreakerError):
        return error
    refusals = [one if isinstance(one, CircuitBreakerError) else None for one in _leaves(error)]
    known = [refusal for refusal in refusals if refusal is not None]
    return max(known, key=_wait) if known and len(known) == len(refusals) else None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    # Groups by what they have, not by their class: Python 3.10 has it from elsewhere.
    members = getattr(error, "exceptions", None)
    if isinstance(members, tuple):
        for member in members:
            yield from _leaves(member)
    else:
        yield error


def _wait(refusal: CircuitBreakerError) -> float:
    # Nobody knows for how long: that may be longest of all.
    return float("inf") if refusal.retry_after is None else refusal.retry_after
