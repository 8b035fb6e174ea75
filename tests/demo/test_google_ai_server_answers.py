"""What the local Google AI server answers when it is healthy and has nothing to say, and of its quotas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from plain_http import PREDICT_PATH, STREAM_PATH, TEXT_PATH, asking, connect, post, until

from sharedbreaker.demo.google_ai_server import (
    Behaviour,
    Content,
    Fault,
    GoogleAiServer,
    GoogleAiService,
    Quota,
)

TEXT, _, IMAGEN = GoogleAiService
REASONS = {"SAFETY", "RECITATION", "PROHIBITED_CONTENT", "MAX_TOKENS", "OTHER"}
PAINTING = {"instances": [{"prompt": "a cat"}], "parameters": {"sampleCount": 2}}


@pytest.fixture
def server() -> Iterator[GoogleAiServer]:
    with GoogleAiServer() as started:
        yield started


@pytest.mark.parametrize("content", [content for content in Content if content.name in REASONS])
def test_a_candidate_without_content_says_why_it_stopped(server: GoogleAiServer, content: Content) -> None:
    """The answer is a success, and holds a reason in the place of parts."""
    server.behave(TEXT, Behaviour(content=content))
    answer = post(server, TEXT_PATH, asking("x"))
    assert answer.status == 200
    assert answer.document["candidates"] == [{"finishReason": content.name, "index": 0}]
    assert server.books(TEXT).answered == {"200": 1}


def test_a_blocked_prompt_has_no_candidates(server: GoogleAiServer) -> None:
    """Only the reason that it was blocked for."""
    server.behave(TEXT, Behaviour(content=Content.BLOCKED_PROMPT))
    document = post(server, TEXT_PATH, asking("x")).document
    assert document["promptFeedback"] == {"blockReason": "SAFETY"}
    assert "candidates" not in document


def test_an_answer_may_be_nothing(server: GoogleAiServer) -> None:
    """Neither candidates nor a reason."""
    server.behave(TEXT, Behaviour(content=Content.NOTHING))
    assert not {"candidates", "promptFeedback"} & post(server, TEXT_PATH, asking("x")).document.keys()


@pytest.mark.parametrize("path", [STREAM_PATH, f"{STREAM_PATH}?alt=sse"])
def test_a_stream_without_content_is_one_piece(server: GoogleAiServer, path: str) -> None:
    """In either form of a stream."""
    server.behave(TEXT, Behaviour(content=Content.SAFETY))
    [document] = pieces(post(server, path, asking("x")).body)
    assert document["candidates"][0]["finishReason"] == "SAFETY"


def test_a_request_that_is_wrong_stays_wrong(server: GoogleAiServer) -> None:
    """What an answer is to hold changes nothing about the question."""
    server.behave(TEXT, Behaviour(content=Content.SAFETY))
    assert post(server, TEXT_PATH, {"contents": []}).status == 400


def test_pictures_are_filtered_away(server: GoogleAiServer) -> None:
    """Each picture that was asked for is answered with a reason, or all with nothing."""
    server.behave(IMAGEN, Behaviour(content=Content.SAFETY))
    predictions = post(server, PREDICT_PATH, PAINTING).document["predictions"]
    assert [list(prediction) for prediction in predictions] == [["raiFilteredReason"]] * 2
    server.behave(IMAGEN, Behaviour(content=Content.NOTHING))
    assert post(server, PREDICT_PATH, PAINTING).document == {}


@pytest.mark.parametrize("path", [STREAM_PATH, f"{STREAM_PATH}?alt=sse"])
def test_a_stream_breaks_off_with_an_error(server: GoogleAiServer, path: str) -> None:
    """The first piece is sound, and the second is Google's error."""
    server.behave(TEXT, Behaviour(fault=Fault.ERROR_MID_STREAM))
    answer = post(server, path, asking("x"))
    first, second = pieces(answer.body)
    assert answer.status == 200
    assert first["candidates"][0]["content"]["parts"]
    assert second["error"]["status"] == "UNAVAILABLE"
    assert server.books(TEXT).answered == {"error_mid_stream": 1}


def test_a_call_that_is_no_stream_gets_the_error_alone(server: GoogleAiServer) -> None:
    """There is no middle to break off in."""
    server.behave(TEXT, Behaviour(fault=Fault.ERROR_MID_STREAM))
    assert post(server, TEXT_PATH, asking("x")).status == 503


def test_an_answer_is_reset_in_the_middle(server: GoogleAiServer) -> None:
    """Unlike one that is cut, it does not end in order."""
    server.behave(TEXT, Behaviour(fault=Fault.RESET_MID_ANSWER))
    with pytest.raises(ConnectionResetError):
        post(server, TEXT_PATH, asking("x"))
    assert server.books(TEXT).answered == {"reset_mid_answer": 1}


@pytest.mark.parametrize("path", [TEXT_PATH, STREAM_PATH, f"{STREAM_PATH}?alt=sse"])
def test_a_document_is_doubled(server: GoogleAiServer, path: str) -> None:
    """The last one of an answer stands there twice, where a sound answer has it once."""
    whole = post(server, path, asking("[{x}]\ndata: {}")).body
    server.behave(TEXT, Behaviour(fault=Fault.DOUBLED_JSON))
    answer = post(server, path, asking("[{x}]\ndata: {}"))
    last = whole[whole.rindex(b'{"candidates"') : whole.rindex(b"}") + 1]
    assert json.loads(last)
    assert answer.status == 200
    assert answer.body == whole.replace(last, last * 2)


def test_an_answer_hangs_in_the_middle(server: GoogleAiServer) -> None:
    """Half of it comes, and the rest when the service is healed; meanwhile the call is in flight."""
    whole = post(server, TEXT_PATH, asking("x")).body
    server.behave(TEXT, Behaviour(fault=Fault.HANG_MID_ANSWER))
    with closing(connect(server)) as connection:
        connection.request("POST", TEXT_PATH, json.dumps(asking("x")))
        response = connection.getresponse()
        half = response.read(len(whole) // 2)
        assert server.books(TEXT).in_flight == 1
        server.heal(TEXT)
        assert half + response.read() == whole
    assert server.books(TEXT).answered == {"200": 1, "hang_mid_answer": 1}


def test_a_client_may_leave_an_answer_that_hangs(server: GoogleAiServer) -> None:
    """The call is over then."""
    server.behave(TEXT, Behaviour(fault=Fault.HANG_MID_ANSWER))
    with closing(connect(server)) as connection:
        connection.request("POST", TEXT_PATH, json.dumps(asking("x")))
        connection.getresponse().read(1)
    until(lambda: server.books(TEXT).in_flight == 0)
    assert server.books(TEXT).answered == {"hang_mid_answer": 1}


@pytest.mark.parametrize(("quota", "period"), [(Quota.PER_DAY, "PerDay"), (Quota.PER_MINUTE, "PerMinute")])
def test_a_quota_is_named(server: GoogleAiServer, quota: Quota, period: str) -> None:
    """In a QuotaFailure, before the RetryInfo."""
    server.behave(TEXT, Behaviour(status=429, quota=quota, retry_after=2))
    failure, retry_info = post(server, TEXT_PATH, asking("x")).document["error"]["details"]
    assert failure["@type"].endswith("google.rpc.QuotaFailure")
    assert re.search(f"{period}PerProjectPerModel", failure["violations"][0]["quotaId"])
    assert retry_info["retryDelay"] == "2s"


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"quota": Quota.PER_DAY}, "quota goes with a status of 429 only"),
        ({"quota": "per_day", "status": 429}, "quota goes with"),
        ({"content": "safety"}, "content must be one of whole, blocked_prompt"),
    ],
)
def test_a_behaviour_that_makes_no_sense_is_refused(wrong: Any, complaint: str) -> None:
    """It says what does."""
    with pytest.raises(ValueError, match=complaint):
        Behaviour(**wrong)


def test_a_behaviour_survives_its_journey() -> None:
    """What is sent to another process arrives as it was."""
    behaviour = Behaviour(status=429, quota=Quota.PER_DAY, content=Content.SAFETY)
    assert Behaviour.from_json(json.loads(json.dumps(behaviour.to_json()))) == behaviour


def pieces(body: bytes) -> list[Any]:
    if body.startswith(b"["):
        return list(json.loads(body))
    return [json.loads(event.removeprefix(b"data: ")) for event in body.split(b"\r\n\r\n") if event]
