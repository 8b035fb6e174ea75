"""The local Google AI server's answers, asked for over plain HTTP."""

from __future__ import annotations

import base64
import json
import re
import zlib
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from plain_http import (
    IMAGE_PATH,
    PREDICT_PATH,
    STREAM_PATH,
    TEXT_PATH,
    asking,
    connect,
    in_base64,
    post,
    showing,
    text_of,
)

from sharedbreaker.demo.google_ai_server import (
    Behaviour,
    GoogleAiServer,
    GoogleAiService,
    draw_png,
    read_png,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT, VISION, IMAGEN = GoogleAiService


@pytest.fixture
def server() -> Iterator[GoogleAiServer]:
    with GoogleAiServer() as started:
        yield started


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1beta1", "v1alpha"])
@pytest.mark.parametrize("place", ["", "publishers/google/", "projects/p/locations/l/"])
def test_text_is_answered_at_every_version_and_place(
    server: GoogleAiServer, version: str, place: str
) -> None:
    """Whatever the API version and the path before models/, the answer holds the prompt."""
    answer = post(server, f"/{version}/{place}models/m:generateContent", asking("Why?"))
    assert (answer.status, answer.text) == (200, "You asked: Why?")
    assert server.books(TEXT).answered == {"200": 1}


def test_the_last_turn_of_a_chat_is_answered(server: GoogleAiServer) -> None:
    """Of a conversation, the newest content is the question."""
    chat = {"contents": asking("first")["contents"] + asking("second")["contents"]}
    assert post(server, TEXT_PATH, chat).text == "You asked: second"


def test_a_picture_is_read_in_both_base64_alphabets(server: GoogleAiServer) -> None:
    """The answer names the size of the picture, however its bytes and fields are spelt."""
    png = draw_png("subject", width=300, height=20)
    camel = showing(in_base64(png), "Topic?")
    snake = json.loads(
        json.dumps(showing(base64.urlsafe_b64encode(png).decode().rstrip("="), "Topic?"))
        .replace("inlineData", "inline_data")
        .replace("mimeType", "mime_type")
    )
    for question in (camel, snake):
        text = post(server, TEXT_PATH, question).text
        assert text == "I see a PNG picture of 300 x 20 pixels. You asked: Topic?"
    assert server.books(VISION).arrived == 2
    assert server.books(TEXT).arrived == 0


WHOLE = draw_png("x")
SIGNATURE, WHOLE_HEADER, WHOLE_PIXELS = WHOLE[:8], WHOLE[8:33], WHOLE[33:]


def chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(kind + body).to_bytes(4, "big")
    return len(body).to_bytes(4, "big") + kind + body + checksum


BROKEN_PICTURES = {
    "no PNG": b"GIF89a",
    "signature only": SIGNATURE,
    "cut in the header": WHOLE[:20],
    "cut in the pixels": WHOLE[:-20],
    "wrong checksum": WHOLE[:17] + b"\xff" + WHOLE[18:],
    "no width": draw_png("x", width=0),
    "no header": SIGNATURE + WHOLE_PIXELS,
    "short header": SIGNATURE + chunk(b"IHDR", bytes(4)) + WHOLE_PIXELS,
    "no such colour type": SIGNATURE
    + chunk(b"IHDR", b"\x00\x00\x00\x01" * 2 + b"\x08\x05\x00\x00\x00")
    + WHOLE_PIXELS,
    "no pixels": SIGNATURE + WHOLE_HEADER + chunk(b"IEND", b""),
}


@pytest.mark.parametrize("picture", BROKEN_PICTURES.values(), ids=BROKEN_PICTURES.keys())
def test_a_broken_picture_is_an_invalid_argument(server: GoogleAiServer, picture: bytes) -> None:
    """A PNG that is not whole is answered 400, and counted as a vision call."""
    answer = post(server, TEXT_PATH, showing(in_base64(picture)))
    assert answer.document["error"]["code"] == answer.status == 400
    assert answer.document["error"]["status"] == "INVALID_ARGUMENT"
    assert "image" in answer.document["error"]["message"]
    assert server.books(VISION).answered == {"400": 1}


def test_an_image_model_answers_generate_content_with_a_picture(server: GoogleAiServer) -> None:
    """A model with image in its name draws, and the call is one to Imagen."""
    answer = post(server, IMAGE_PATH, asking("a cat"))
    inline = answer.document["candidates"][0]["content"]["parts"][0]["inlineData"]
    assert inline["mimeType"] == "image/png"
    assert read_png(base64.b64decode(inline["data"])).caption == "a cat"
    assert server.books(IMAGEN).answered == {"200": 1}


@pytest.mark.parametrize(("parameters", "count"), [({}, 1), ({"parameters": {"sampleCount": 3.0}}, 3)])
def test_predict_draws_as_many_pictures_as_asked_for(
    server: GoogleAiServer, parameters: dict[str, Any], count: int
) -> None:
    """Imagen answers with sampleCount different pictures of the prompt, one by default."""
    path = "/v1beta1/publishers/google/models/imagen-4.0:predict"
    answer = post(server, path, {"instances": [{"prompt": "ein Bär"}], **parameters})
    pngs = [base64.b64decode(one["bytesBase64Encoded"]) for one in answer.document["predictions"]]
    assert [read_png(png).caption for png in pngs] == ["ein Bär"] * count
    assert len(set(pngs)) == count
    assert {one["mimeType"] for one in answer.document["predictions"]} == {"image/png"}
    assert server.books(IMAGEN).answered == {"200": 1}


def test_a_drawn_picture_has_all_its_pixels() -> None:
    """The pixels of a drawing unpack to its width and height in three channels."""
    png = draw_png("x", width=5, height=7)
    start = png.index(b"IDAT") + 4
    length = int.from_bytes(png[start - 8 : start - 4], "big")
    assert len(zlib.decompress(png[start : start + length])) == 7 * (1 + 3 * 5)


@pytest.mark.parametrize(
    ("path", "request_body"),
    [
        (TEXT_PATH, b"{"),
        (TEXT_PATH, []),
        (TEXT_PATH, {}),
        (TEXT_PATH, {"contents": [{"parts": "x"}]}),
        (TEXT_PATH, {"contents": [{"parts": [{"inlineData": {}}]}]}),
        (TEXT_PATH, showing("?")),
        (PREDICT_PATH, {"instances": []}),
        (PREDICT_PATH, {"instances": [{"prompt": "x"}], "parameters": {"sampleCount": 0}}),
        (PREDICT_PATH, {"instances": [{"prompt": "x"}], "parameters": {"sampleCount": "2"}}),
    ],
)
def test_a_request_without_sense_is_an_invalid_argument(
    server: GoogleAiServer, path: str, request_body: object
) -> None:
    """What Google could not make sense of is answered 400, in Google's words."""
    answer = post(server, path, request_body)
    assert answer.status == 400
    assert answer.document["error"]["status"] == "INVALID_ARGUMENT"


def test_an_unknown_path_is_not_found_and_not_counted(server: GoogleAiServer) -> None:
    """What is no generating call is answered 404 and in no service's books."""
    for path in ("/", "/v1beta/models", "/v1beta/models/m:countTokens", "/models/m:predict"):
        answer = post(server, path, asking("x"))
        assert (answer.status, answer.document["error"]["status"]) == (404, "NOT_FOUND")
    with closing(connect(server)) as connection:
        connection.request("GET", TEXT_PATH)
        assert connection.getresponse().status == 404
    assert [server.books(service).arrived for service in GoogleAiService] == [0, 0, 0]


def test_a_stream_of_events_says_the_whole_answer(server: GoogleAiServer) -> None:
    """The events of an SSE stream, one after the other, are the answer to the question."""
    answer = post(server, f"{STREAM_PATH}?alt=sse", asking("Tell me more"))
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    events = re.findall(rb"data: (.*?)\r\n\r\n", answer.body)
    assert len(events) > 1
    assert "".join(text_of(json.loads(e)) for e in events) == "You asked: Tell me more"
    finishes = [json.loads(e)["candidates"][0].get("finishReason") for e in events]
    assert finishes == [None] * (len(events) - 1) + ["STOP"]


def test_a_stream_without_events_is_a_json_array(server: GoogleAiServer) -> None:
    """Without alt=sse the pieces are the elements of an array, and an error is its only one."""
    pieces = post(server, STREAM_PATH, asking("Tell me more")).document
    assert len(pieces) > 1
    assert "".join(map(text_of, pieces)) == "You asked: Tell me more"
    server.behave(TEXT, Behaviour(status=503))
    assert post(server, STREAM_PATH, asking("x")).document[0]["error"]["code"] == 503
    assert post(server, f"{STREAM_PATH}?alt=sse", asking("x")).document["error"]["code"] == 503
