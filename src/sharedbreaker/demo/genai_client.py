"""Calls to Google AI through Google's newer SDK, google-genai, as the demo's apps make them."""

from __future__ import annotations

import os
from typing import Any

from sharedbreaker.async_breaker import AsyncCircuitBreaker
from sharedbreaker.integrations.google_genai import guard

TEXT_MODEL = "gemini-2.5-flash"
VISION_MODEL = "gemini-2.5-flash"
IMAGE_MODEL = "gemini-2.5-flash-image"


class GenaiClient:
    """What ``GoogleAiClient`` is, on google-genai: the same methods, to be called from any thread.

    They raise what the SDK raises: ``google.genai.errors.APIError`` for an error status and httpx's errors
    for a connection that fails or stays silent; ValueError for an answer that holds nothing; and
    ImportError if the SDK is not installed.
    """

    def __init__(self, api_key: str, base_url: str | None, timeout: float = 10.0) -> None:
        self._arguments = (api_key, base_url, timeout)
        self._connected: tuple[int, Any] | None = None

    def generate_text(self, prompt: str) -> str:
        """Return the answer to ``prompt``."""
        return _text_in(self._ask(_question(prompt)))

    def describe_image(self, prompt: str, png: bytes) -> str:
        """Return the answer to ``prompt`` about the picture ``png``."""
        return _text_in(self._ask(_question_about(png, prompt)))

    def generate_image(self, prompt: str) -> bytes:
        """Return a PNG of what ``prompt`` describes; ValueError if it was filtered away."""
        return _picture_in(self._ask(_order(prompt)))

    def _ask(self, request: dict[str, Any]) -> Any:
        # Held while it is asked: a client that is collected closes its connections, also under a call.
        client = self._client()
        return client.models.generate_content(**request)

    def _client(self) -> Any:
        connected = self._connected
        # As in GoogleAiClient: connections are a process' own, and a lock could be copied by a fork. So
        # threads that come here first together may each connect, and all but one of the clients go again.
        if connected is None or connected[0] != os.getpid():
            connected = os.getpid(), _connect(*self._arguments)
            self._connected = connected
        return connected[1]


class AsyncGenaiClient:
    """The same for an event loop, and guarded: its calls go through the breakers, which may reject them.

    To be made in the process that uses it.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str | None,
        *,
        text: AsyncCircuitBreaker | None,
        vision: AsyncCircuitBreaker | None,
        imagen: AsyncCircuitBreaker | None,
        timeout: float = 10.0,
    ) -> None:
        client = _connect(api_key, base_url, timeout)
        self._aio = guard(client, text=text, vision=vision, imagen=imagen).aio
        self._models = self._aio.models

    async def close(self) -> None:
        """Close the connections, in the loop that used them."""
        await self._aio.aclose()

    async def generate_text(self, prompt: str) -> str:
        """Return the answer to ``prompt``."""
        return _text_in(await self._models.generate_content(**_question(prompt)))

    async def describe_image(self, prompt: str, png: bytes) -> str:
        """Return the answer to ``prompt`` about the picture ``png``."""
        return _text_in(await self._models.generate_content(**_question_about(png, prompt)))

    async def generate_image(self, prompt: str) -> bytes:
        """Return a PNG of what ``prompt`` describes; ValueError if it was filtered away."""
        return _picture_in(await self._models.generate_content(**_order(prompt)))


def _question(prompt: str) -> dict[str, Any]:
    return {"model": TEXT_MODEL, "contents": prompt}


def _question_about(png: bytes, prompt: str) -> dict[str, Any]:
    _, types = _import_sdk()
    return {
        "model": VISION_MODEL,
        "contents": [types.Part.from_bytes(data=png, mime_type="image/png"), prompt],
    }


def _order(prompt: str) -> dict[str, Any]:
    return {"model": IMAGE_MODEL, "contents": prompt}


def _text_in(answer: Any) -> str:
    if not answer.text:
        raise ValueError("the answer holds no text")
    return str(answer.text)


def _picture_in(answer: Any) -> bytes:
    for candidate in answer.candidates or ():
        for part in (candidate.content and candidate.content.parts) or ():
            if part.inline_data is not None and part.inline_data.data:
                return bytes(part.inline_data.data)
    raise ValueError("the answer holds no picture")


def _connect(api_key: str, base_url: str | None, timeout: float) -> Any:
    genai, types = _import_sdk()
    options = types.HttpOptions(
        base_url=base_url and base_url.rstrip("/"),
        timeout=round(timeout * 1000),
        retry_options=types.HttpRetryOptions(attempts=1),
    )
    return genai.Client(api_key=api_key, http_options=options)


def _import_sdk() -> tuple[Any, Any]:
    try:
        from google import genai  # noqa: PLC0415
        from google.genai import types  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("google-genai is not installed; it comes with sharedbreaker[demo]") from error
    return genai, types
