"""One app, for threads and for event loops, whose service always fails. Gunicorn serves it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, CircuitBreakerError

SETTINGS: dict[str, Any] = {"name": "orders", "failure_threshold": 5, "redis_timeout": 20}
"""And SHAREDBREAKER_REDIS_URL says where."""
UPSTREAM = "upstream"
"""The service, a Redis key that counts who asks it; it always fails."""

breaker = CircuitBreaker(**SETTINGS)
async_breaker = AsyncCircuitBreaker(**SETTINGS)


def service() -> None:
    with Redis.from_url(os.environ["SHAREDBREAKER_REDIS_URL"]) as upstream:
        upstream.incr(UPSTREAM)
    raise ConnectionError("503")


async def async_service() -> None:
    async with AsyncRedis.from_url(os.environ["SHAREDBREAKER_REDIS_URL"]) as upstream:
        await upstream.incr(UPSTREAM)
    raise ConnectionError("503")


def wsgi(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    status = "200 OK"
    if environ["PATH_INFO"] == "/call":
        try:
            breaker.call(service)
        except CircuitBreakerError:
            status = "503 Service Unavailable"
        except ConnectionError:
            status = "502 Bad Gateway"
    start_response(status, [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


async def asgi(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    assert scope["type"] == "http"
    status = 200
    if scope["path"] == "/call":
        try:
            await async_breaker.call(async_service)
        except CircuitBreakerError:
            status = 503
        except ConnectionError:
            status = 502
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
