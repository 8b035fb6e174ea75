"""The REST protocol of Google AI: which service a request is for, and the healthy answer to it.

Answers are made from the question alone, so the same question has the same answer.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from sharedbreaker.demo.google_ai_server.behaviour import Content, GoogleAiService
from sharedbreaker.demo.google_ai_server.pictures import PNG_SIGNATURE, draw_png, read_png
from sharedbreaker.demo.google_ai_server.replies import (
    InvalidArgumentError,
    Reply,
    error_document,
    error_reply,
    json_reply,
    to_json_bytes,
)

_ROUTE = re.compile(
    r"/v\d\w*/(?:[^:]*/)?models/(?P<model>[^/:]+)"
    r":(?P<verb>generateContent|streamGenerateContent|predict)"
)
_LAST_DOCUMENT = re.compile(rb"((?:.*\n)?(?:data: |\[)?)(\{.*\})(\]|\r\n\r\n|)", re.DOTALL)
_MOST_PICTURES = 8
_UNAVAILABLE = 503
_FILTERED = "The local Google AI server was told to filter this picture away."
_PIECES_OF_A_STREAM = 4


@dataclass(frozen=True)
class Route:
    """What the address of a request asks for; ``sse`` is whether a stream is one of events."""

    model: str
    verb: str
    sse: bool

    @property
    def answers_with_array(self) -> bool:
        """Whether the answer is a stream in the form of a JSON array."""
        return self.verb == "streamGenerateContent" and not self.sse


def find_route(target: str) -> Route | None:
    """Return what ``target``, a path with its query, asks for; None if Google AI has no such thing.

    Every API version is accepted, and whatever stands between it and ``models/``.
    """
    address = urlsplit(target)
    match = _ROUTE.fullmatch(unquote(address.path))
    if match is None:
        return None
    query = parse_qs(address.query)
    asked_for = query.get("alt", []) + query.get("$alt", [])
    return Route(match["model"], match["verb"], sse="sse" in asked_for)


def service_of(route: Route, payload: object) -> GoogleAiService:
    """Return the service that a request is for; ``payload`` is its body, read as JSON."""
    if route.verb == "predict" or "image" in route.model:
        return GoogleAiService.IMAGEN
    if any(_inline(part) is not None for part in _all_parts(payload)):
        return GoogleAiService.VISION
    return GoogleAiService.TEXT


def answer(route: Route, payload: object, content: Content = Content.WHOLE) -> Reply:
    """Return the healthy answer, with the content that it is to have.

    Raises InvalidArgumentError if Google would find the request itself wrong.
    """
    if not isinstance(payload, Mapping):
        raise InvalidArgumentError("Invalid JSON payload received: it is not a JSON object.")
    if route.verb == "predict":
        predictions: list[dict[str, str]] = _predictions(payload)
        if content is Content.NOTHING:
            return json_reply({})
        if content is not Content.WHOLE:
            predictions = [{"raiFilteredReason": _FILTERED} for _ in predictions]
        return json_reply({"predictions": predictions})
    pieces = _pieces(route, payload)
    if content is not Content.WHOLE:
        whole = _without_content(route, content)
        return json_reply(whole) if route.verb == "generateContent" else _stream(route, [whole])
    if route.verb == "generateContent":
        return json_reply(_response(route, [part for piece in pieces for part in piece]))
    last = len(pieces) - 1
    return _stream(
        route, [_response(route, piece, finished=number == last) for number, piece in enumerate(pieces)]
    )


def broken_off(route: Route, payload: object) -> Reply:
    """Return a stream that goes on, after its first piece, with an error; for other calls, the error."""
    message = "The local Google AI server was told to break off."
    if route.verb != "streamGenerateContent" or not isinstance(payload, Mapping):
        return error_reply(_UNAVAILABLE, message)
    first = _response(route, _pieces(route, payload)[0], finished=False)
    return _stream(route, [first, {"error": error_document(_UNAVAILABLE, message)}])


def doubled(body: bytes) -> bytes:
    """Return the body of an answer, of a stream too, with its last document twice in a row."""
    return _LAST_DOCUMENT.sub(rb"\1\2\2\3", body)


def _stream(route: Route, documents: list[dict[str, object]]) -> Reply:
    responses = [to_json_bytes(document) for document in documents]
    if route.sse:
        events = b"".join(b"data: " + response + b"\r\n\r\n" for response in responses)
        return Reply(200, events, content_type="text/event-stream; charset=UTF-8")
    return Reply(200, b"[" + b"\n,\r\n".join(responses) + b"]")


def _without_content(route: Route, content: Content) -> dict[str, object]:
    answered: dict[str, object] = {
        "usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 1},
        "modelVersion": route.model,
    }
    if content is Content.BLOCKED_PROMPT:
        answered["promptFeedback"] = {"blockReason": "SAFETY"}
    elif content is not Content.NOTHING:
        answered["candidates"] = [{"finishReason": content.name, "index": 0}]
    return answered


def _pieces(route: Route, payload: Mapping[str, Any]) -> list[list[dict[str, object]]]:
    """Return the parts of the answer, cut in the pieces that a stream is sent in."""
    contents = _contents(payload)
    if not contents:
        raise InvalidArgumentError("contents is not specified.")
    prompt = _prompt(contents[-1])
    pictures = [inline for part in _all_parts(payload) if (inline := _inline(part)) is not None]
    if not prompt and not pictures:
        raise InvalidArgumentError("contents has neither text nor a picture.")
    seen = "".join(f"I see {_describe(inline)}. " for inline in pictures)
    if "image" in route.model:
        return [[{"inlineData": {"mimeType": "image/png", "data": _drawn(prompt)}}]]
    return _whole_or_streamed(route, f"{seen}You asked: {prompt}")


def _whole_or_streamed(route: Route, text: str) -> list[list[dict[str, object]]]:
    if route.verb == "generateContent":
        return [[{"text": text}]]
    length = -(-len(text) // _PIECES_OF_A_STREAM)
    return [[{"text": text[at : at + length]}] for at in range(0, len(text), length)]


def _response(route: Route, parts: list[dict[str, object]], *, finished: bool = True) -> dict[str, object]:
    candidate: dict[str, object] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finished:
        candidate["finishReason"] = "STOP"
    return {
        "candidates": [candidate],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
        "modelVersion": route.model,
    }


def _predictions(payload: Mapping[str, Any]) -> list[dict[str, str]]:
    instances = payload.get("instances")
    first = instances[0] if isinstance(instances, list) and instances else None
    prompt = first.get("prompt") if isinstance(first, Mapping) else None
    if not isinstance(prompt, str) or not prompt:
        raise InvalidArgumentError("instances must hold an object with a prompt.")
    parameters = payload.get("parameters") or {}
    count = parameters.get("sampleCount", 1) if isinstance(parameters, Mapping) else 1
    # protobuf writes the numbers of a Struct as floats: 2 arrives as 2.0.
    if isinstance(count, bool) or count not in range(1, _MOST_PICTURES + 1):
        raise InvalidArgumentError(f"sampleCount must be from 1 to {_MOST_PICTURES}.")
    return [
        {"bytesBase64Encoded": _drawn(prompt, number), "mimeType": "image/png"}
        for number in range(int(count))
    ]


def _drawn(prompt: str, number: int = 0) -> str:
    return base64.b64encode(draw_png(prompt, number=number)).decode("ascii")


def _contents(payload: object) -> list[Mapping[str, Any]]:
    contents = payload.get("contents") if isinstance(payload, Mapping) else None
    if not isinstance(contents, list):
        return []
    return [content for content in contents if isinstance(content, Mapping)]


def _parts(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    parts = content.get("parts")
    if not isinstance(parts, list):
        return []
    return [part for part in parts if isinstance(part, Mapping)]


def _all_parts(payload: object) -> Iterator[Mapping[str, Any]]:
    for content in _contents(payload):
        yield from _parts(content)


def _prompt(content: Mapping[str, Any]) -> str:
    texts = (part.get("text") for part in _parts(content))
    return "\n".join(text for text in texts if isinstance(text, str) and text)


def _inline(part: Mapping[str, Any]) -> Mapping[str, Any] | None:
    inline = part.get("inlineData", part.get("inline_data"))
    return inline if isinstance(inline, Mapping) else None


def _describe(inline: Mapping[str, Any]) -> str:
    mime_type = inline.get("mimeType", inline.get("mime_type"))
    encoded = inline.get("data")
    if not isinstance(mime_type, str) or not isinstance(encoded, str):
        raise InvalidArgumentError("inlineData must have a mimeType and data.")
    try:
        picture = _from_base64(encoded)
        if mime_type == "image/png" or picture.startswith(PNG_SIGNATURE):
            png = read_png(picture)
            return f"a PNG picture of {png.width} x {png.height} pixels"
    except ValueError as error:
        raise InvalidArgumentError(f"Unable to process input image: {error}.") from error
    return f"{mime_type} of {len(picture)} bytes"


def _from_base64(encoded: str) -> bytes:
    """Decode both alphabets of base64, padded or not: the SDKs differ in what they send."""
    standard = encoded.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("its data is not base64") from error
