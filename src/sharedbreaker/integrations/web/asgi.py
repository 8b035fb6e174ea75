"""The site as an ASGI app, for FastAPI, Starlette or a server by itself. Needs nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from sharedbreaker.integrations.web.acts import LARGEST_BODY
from sharedbreaker.integrations.web.messages import Request, Response
from sharedbreaker.integrations.web.site import BreakerSite

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class BreakerApp:
    """An ASGI app with every page of ``site``; by default that of the Google AI breakers, read-only.

    Redis is waited for in threads of asyncio, so that the loop goes on meanwhile.
    """

    def __init__(self, site: BreakerSite | None = None) -> None:
        self._site = site or BreakerSite()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI calls it."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "http":
            request = await _request(scope, receive)
            if request is not None:
                response = await asyncio.to_thread(self._site.answer, request)
                await _send(response, send, without_body=scope["method"] == "HEAD")


async def _live(receive: Receive, send: Send) -> None:
    for stage in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{stage}.complete"})


async def _request(scope: Scope, receive: Receive) -> Request | None:
    """Return the request with its body, of which no more is kept than tells that it is too much."""
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body = (body + message.get("body", b""))[: LARGEST_BODY + 1]
        more = message.get("more_body", False)
    path = scope["path"]
    root = scope.get("root_path", "").rstrip("/")
    if root and path.startswith(f"{root}/"):
        path = path[len(root) :]
    client = scope.get("client")
    return Request(
        method=scope["method"],
        path=path,
        query=scope.get("query_string", b"").decode("latin-1"),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
        body=body,
        client=client[0] if client else "",
    )


async def _send(response: Response, send: Send, *, without_body: bool) -> None:
    headers = {**response.headers, "Content-Length": str(len(response.body))}
    await send(
        {
            "type": "http.response.start",
            "status": response.status,
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
            ],
        }
    )
    await send({"type": "http.response.body", "body": b"" if without_body else response.body})
