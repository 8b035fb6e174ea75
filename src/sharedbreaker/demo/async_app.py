"""The demo's web app once more, for event loops: Starlette, guarded async calls, and the same endpoints.

    SHAREDBREAKER_DEMO_GOOGLE_AI_URL=http://... uvicorn --factory sharedbreaker.demo.async_app:create_app

It calls Google AI through google-genai, whatever SHAREDBREAKER_DEMO_SDK says.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from json import JSONDecodeError
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sharedbreaker.async_breaker import AsyncCircuitBreaker
from sharedbreaker.breaker import CircuitBreaker
from sharedbreaker.circuit.errors import CircuitBreakerError, StoreError
from sharedbreaker.circuit.exposition import exposition_of_answers
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.demo import endpoints as said
from sharedbreaker.demo.app_environment import REDIS_SECONDS, AppEnvironment
from sharedbreaker.demo.genai_client import AsyncGenaiClient
from sharedbreaker.demo.google_ai_server import draw_png
from sharedbreaker.google_ai import (
    IMAGEN,
    TEXT_GENERATION,
    VISION,
    get_all_breakers,
    initialize_circuit_breakers,
)
from sharedbreaker.integrations.asgi import RejectionMiddleware


def create_app() -> Starlette:
    """Return the app as the environment says. Does no I/O: Redis and Google AI are met at the first call.

    Raises:
        DemoSetupError: the environment names no Google AI to ask.
        SettingsError: a setting of the breakers makes no sense.

    """
    environment = AppEnvironment.read()
    initialize_circuit_breakers(environment.breaker_configuration)
    breakers = {
        key: _for_event_loops(breaker) for key, breaker in get_all_breakers().items() if breaker is not None
    }
    google_ai = AsyncGenaiClient(
        environment.api_key,
        environment.google_ai_url,
        text=breakers.get(TEXT_GENERATION),
        vision=breakers.get(VISION),
        imagen=breakers.get(IMAGEN),
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await google_ai.close()

    return Starlette(
        lifespan=lifespan,
        routes=[*_google_ai_endpoints(google_ai), *_breaker_endpoints(breakers)],
        middleware=[Middleware(_NameWorker), Middleware(RejectionMiddleware)],
        exception_handlers={StoreError: _redis_away, HTTPException: _refused_request},
    )


def _for_event_loops(breaker: CircuitBreaker) -> AsyncCircuitBreaker:
    # What a failure is, the guard knows by itself.
    settings = breaker.settings
    return AsyncCircuitBreaker(
        settings.failure_threshold,
        settings.timeout,
        settings.success_threshold,
        name=breaker.name,
        redis=breaker.redis,
        redis_timeout=REDIS_SECONDS,
        prefix=breaker.prefix,
    )


def _google_ai_endpoints(google_ai: AsyncGenaiClient) -> list[Route]:
    async def subtopics(request: Request) -> Response:
        topic = await _asked_for(request, "topic")
        text = await google_ai.generate_text(said.subtopics_prompt(topic))
        return JSONResponse(said.subtopics(topic, text))

    async def explanation(request: Request) -> Response:
        topic = await _asked_for(request, "topic")
        text = await google_ai.generate_text(said.explanation_prompt(topic))
        return JSONResponse(said.explanation(topic, text))

    async def image2topic(request: Request) -> Response:
        png = await request.body() or draw_png(said.OWN_PICTURE)
        return JSONResponse(said.image_topic(await google_ai.describe_image(said.IMAGE_QUESTION, png)))

    async def generate_image(request: Request) -> Response:
        prompt = await _asked_for(request, "prompt")
        return Response(await google_ai.generate_image(prompt), media_type="image/png")

    views = (subtopics, explanation, image2topic, generate_image)
    return [Route(f"/api/{view.__name__}", _told(view), methods=["GET", "POST"]) for view in views]


def _breaker_endpoints(breakers: dict[str, AsyncCircuitBreaker]) -> list[Route]:
    async def figures() -> dict[str, dict[str, Any]]:
        return {key: await breaker.get_metrics() for key, breaker in breakers.items()}

    async def metrics(_: Request) -> Response:
        text = exposition_of_answers([await _answer_of(breaker) for breaker in breakers.values()])
        return Response(text, headers={**said.FRESH, "Content-Type": said.EXPOSITION_TYPE})

    async def circuit_breaker_metrics(_: Request) -> Response:
        return _document(200, said.metrics(await figures()))

    async def health(_: Request) -> Response:
        return _document(*said.health(await figures()))

    return [
        Route("/metrics", metrics),
        Route("/api/circuit-breakers/metrics", circuit_breaker_metrics),
        Route("/api/health", health),
    ]


async def _answer_of(breaker: AsyncCircuitBreaker) -> Snapshot | StoreError:
    try:
        return await breaker.snapshot()
    except StoreError as error:
        return error


def _told(view: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Return ``view`` with its failures said in HTTP."""

    async def told(request: Request) -> Response:
        try:
            return await view(request)
        except (CircuitBreakerError, HTTPException):
            raise
        except Exception as error:
            return _document(*said.failed(error))

    return told


def _redis_away(_: Request, error: Exception) -> Response:
    assert isinstance(error, StoreError)  # noqa: S101 - Starlette types all handlers alike
    return _document(*said.redis_away(error))


def _refused_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - Starlette types all handlers alike
    return _document(error.status_code, {"error": error.detail})


def _document(status: int, document: dict[str, Any]) -> Response:
    return JSONResponse(document, status, said.FRESH)


async def _asked_for(request: Request, name: str) -> str:
    sent: Any = request.query_params
    if request.headers.get("Content-Type", "").startswith("application/json"):
        try:
            sent = await request.json()
        except (JSONDecodeError, UnicodeDecodeError):
            sent = None
    return said.topic_in(sent.get(name) if hasattr(sent, "get") else None)


class _NameWorker:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[said.WORKER_HEADER] = str(os.getpid())
            await send(message)

        await self._app(scope, receive, send_named)
