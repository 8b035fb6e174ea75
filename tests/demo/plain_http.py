"""Plain HTTP calls to the local Google AI server, and waiting without sleeping."""

from __future__ import annotations

import base64
import json
import time
from contextlib import closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharedbreaker.demo.google_ai_server import GoogleAiServer

TEXT_PATH = "/v1beta/models/gemini-2.5-flash:generateContent"
STREAM_PATH = "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
IMAGE_PATH = "/v1beta/models/gemini-2.5-flash-image:generateContent"
PREDICT_PATH = "/v1beta/models/imagen-3.0-generate-002:predict"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return text_of(self.document)


def text_of(response: Any) -> str:
    return str(response["candidates"][0]["content"]["parts"][0]["text"])


def connect(server: GoogleAiServer) -> HTTPConnection:
    host, port = server.url.removeprefix("http://").split(":")
    return HTTPConnection(host, int(port), timeout=5)


def post_over(connection: HTTPConnection, path: str, document: object) -> Answer:
    body = document if isinstance(document, bytes) else json.dumps(document)
    connection.request("POST", path, body)
    response = connection.getresponse()
    return Answer(response.status, dict(response.headers), response.read())


def post(server: GoogleAiServer, path: str, document: object) -> Answer:
    with closing(connect(server)) as connection:
        return post_over(connection, path, document)


def asking(text: str) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": text}]}]}


def showing(encoded: str, text: str = "What is it?") -> dict[str, Any]:
    inline = {"inlineData": {"mimeType": "image/png", "data": encoded}}
    return {"contents": [{"parts": [inline, {"text": text}]}]}


def in_base64(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass within five seconds"
        time.sleep(0.002)
