"""How the local Google AI server misbehaves, seen over plain HTTP."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import IncompleteRead
from threading import Timer
from typing import TYPE_CHECKING, Any

import pytest
from plain_http import STREAM_PATH, TEXT_PATH, asking, connect, in_base64, post, showing, until

from sharedbreaker.demo.google_ai_server import (
    Behaviour,
    Fault,
    GoogleAiServer,
    GoogleAiService,
    draw_png,
)
from sharedbreaker.demo.google_ai_server.endpoint import Endpoint, Waited

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT, VISION, _ = GoogleAiService


@pytest.fixture
def server() -> Iterator[GoogleAiServer]:
    with GoogleAiServer() as started:
        yield started


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as threads:
        yield threads


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
    ],
)
def test_a_status_comes_with_its_google_name(server: GoogleAiServer, status: int, name: str) -> None:
    """A service that is told a status answers it in Google's shape; the others stay healthy."""
    server.behave(VISION, Behaviour(status=status))
    answer = post(server, TEXT_PATH, showing(in_base64(draw_png("x"))))
    assert answer.status == status
    assert answer.document["error"].items() >= {"code": status, "status": name}.items()
    assert answer.document["error"]["message"]
    assert server.books(VISION).answered == {str(status): 1}
    assert post(server, TEXT_PATH, asking("x")).status == 200


@pytest.mark.parametrize(("retry_after", "header", "delay"), [(22, "22", "22s"), (47.5, "48", "47.5s")])
def test_retry_after_is_said_twice(
    server: GoogleAiServer, retry_after: float, header: str, delay: str
) -> None:
    """The time to stay away is in the Retry-After header and in a RetryInfo detail."""
    server.behave(TEXT, Behaviour(status=429, retry_after=retry_after))
    answer = post(server, TEXT_PATH, asking("x"))
    assert answer.headers["Retry-After"] == header
    [detail] = answer.document["error"]["details"]
    assert detail == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def test_failures_run_out(server: GoogleAiServer) -> None:
    """After as many calls as it was told, the service is healthy by itself."""
    server.behave(TEXT, Behaviour(status=503, failures=2))
    statuses = [post(server, TEXT_PATH, asking("x")).status for _ in range(4)]
    assert statuses == [503, 503, 200, 200]


def test_healing_ends_a_behaviour(server: GoogleAiServer) -> None:
    """A healed service answers as if it had never been told anything."""
    server.behave(TEXT, Behaviour(status=503))
    server.heal(TEXT)
    assert post(server, TEXT_PATH, asking("x")).status == 200


def test_a_cut_call_is_reset(server: GoogleAiServer) -> None:
    """A cut call ends in a reset of its connection, without a byte of an answer."""
    server.behave(TEXT, Behaviour(fault=Fault.CUT))
    with pytest.raises(ConnectionResetError) as caught:
        post(server, TEXT_PATH, asking("x"))
    # And no RemoteDisconnected, its subclass, which is an orderly end.
    assert type(caught.value) is ConnectionResetError
    assert server.books(TEXT).answered == {"cut": 1}


def test_an_answer_cut_in_the_middle_has_half_of_its_body(server: GoogleAiServer) -> None:
    """The headers promise a whole body, and half of it comes."""
    whole = post(server, TEXT_PATH, asking("x")).body
    server.behave(TEXT, Behaviour(fault=Fault.CUT_MID_ANSWER))
    with pytest.raises(IncompleteRead) as caught:
        post(server, TEXT_PATH, asking("x"))
    assert caught.value.partial == whole[: len(whole) // 2]
    assert server.books(TEXT).answered == {"200": 1, "cut_mid_answer": 1}


@pytest.mark.parametrize("path", [TEXT_PATH, STREAM_PATH, f"{STREAM_PATH}?alt=sse"])
def test_broken_json_is_complete_http(server: GoogleAiServer, path: str) -> None:
    """Broken JSON comes with status 200 and in full length, and cannot be read."""
    server.behave(TEXT, Behaviour(fault=Fault.BROKEN_JSON))
    answer = post(server, path, asking("x"))
    assert answer.status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.body.split(b"data: ")[-1])
    assert server.books(TEXT).answered == {"broken_json": 1}


def test_a_hanging_call_is_answered_when_the_service_is_healed(
    server: GoogleAiServer, pool: ThreadPoolExecutor
) -> None:
    """A call that hangs is silent until its service is told otherwise, and then answered."""
    server.behave(TEXT, Behaviour(fault=Fault.HANG, failures=1))
    hanging = pool.submit(post, server, TEXT_PATH, asking("first"))
    until(lambda: server.books(TEXT).in_flight == 1)
    assert post(server, TEXT_PATH, asking("second")).text == "You asked: second"
    assert not hanging.done()
    server.heal(TEXT)
    assert hanging.result(timeout=5).text == "You asked: first"
    assert server.books(TEXT).answered == {"200": 2}


@pytest.mark.parametrize(
    ("behaviour", "answered"),
    [(Behaviour(fault=Fault.HANG), "hang"), (Behaviour(delay=60), "abandoned")],
)
def test_a_client_that_leaves_is_out_of_flight(
    server: GoogleAiServer, behaviour: Behaviour, answered: str
) -> None:
    """A call whose client goes away ends then, and not when its answer would have been due."""
    server.behave(TEXT, behaviour)
    with closing(connect(server)) as connection:
        connection.request("POST", TEXT_PATH, json.dumps(asking("x")))
        until(lambda: server.books(TEXT).in_flight == 1)
    until(lambda: server.books(TEXT).in_flight == 0)
    assert server.books(TEXT).answered == {answered: 1}


def test_a_delay_is_waited_for_even_if_the_next_request_is_there(server: GoogleAiServer) -> None:
    """A request sent before the last one is answered waits its turn, and then its delay."""
    server.behave(TEXT, Behaviour(delay=0.04))
    body = json.dumps(asking("x")).encode()
    request = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b"
    one = request % (TEXT_PATH.encode(), len(body), body)
    started_at = time.monotonic()
    with closing(connect(server)) as connection:
        connection.connect()
        connection.sock.sendall(one)
        until(lambda: server.books(TEXT).arrived == 1)
        connection.sock.sendall(one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        received = b"".join(iter(lambda: connection.sock.recv(65536), b""))
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert time.monotonic() - started_at >= 0.08
    first, second = server.journal(TEXT)
    assert first.ended_at is not None
    assert second.started_at >= first.ended_at >= first.started_at + 0.04
    assert server.books(TEXT).peak_in_flight == 1


def test_orders_that_came_just_before_a_hang_are_not_missed() -> None:
    """A call told to hang hears of what was said between that and its wait."""
    endpoint = Endpoint(TEXT)
    endpoint.behave(Behaviour(fault=Fault.HANG))
    _, number = endpoint.take_orders()
    endpoint.behave(Behaviour())
    client, server_side = socket.socketpair()
    leaving = Timer(1, client.close)
    leaving.start()
    with client, server_side:
        assert endpoint.wait_for_new_orders(server_side, number) is Waited.NEW_ORDERS
    leaving.cancel()
    leaving.join()


def test_a_delay_does_not_end_with_the_behaviour(server: GoogleAiServer, pool: ThreadPoolExecutor) -> None:
    """A call that is being delayed waits on when its service is healed."""
    server.behave(TEXT, Behaviour(delay=0.05))
    delayed = pool.submit(post, server, TEXT_PATH, asking("x"))
    until(lambda: server.books(TEXT).arrived == 1)
    server.heal(TEXT)
    delayed.result(timeout=5)
    [call] = server.journal(TEXT)
    assert call.ended_at is not None
    assert call.ended_at - call.started_at >= 0.05


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"status": 302}, "status must be"),
        ({"status": 600}, "status must be"),
        ({"status": True}, "status must be"),
        ({"status": "503"}, "status must be"),
        ({"delay": -0.1}, "delay must be"),
        ({"delay": float("nan")}, "delay must be"),
        ({"delay": float("inf")}, "delay must be"),
        ({"delay": None}, "delay must be"),
        ({"fault": "boom"}, "fault must be one of none, hang, cut"),
        ({"fault": Fault.HANG, "status": 503}, "hang and 503"),
        ({"status": 503, "retry_after": -1}, "retry_after must be"),
        ({"status": 503, "retry_after": "1"}, "retry_after must be"),
        ({"status": 500, "retry_after": 1}, "429 or 503"),
        ({"failures": 0}, "failures must be"),
        ({"failures": 1.5}, "failures must be"),
        ({"failures": True}, "failures must be"),
        ({"delay": True}, "delay must be"),
    ],
)
def test_a_behaviour_without_sense_is_refused(fields: dict[str, Any], complaint: str) -> None:
    """A behaviour that cannot be had is a ValueError that says what is wrong with it."""
    with pytest.raises(ValueError, match=complaint):
        Behaviour(**fields)


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(),
        Behaviour(status=429, delay=0.5, retry_after=47.5, failures=3),
        Behaviour(fault=Fault.CUT_MID_ANSWER),
    ],
)
def test_a_behaviour_survives_json(behaviour: Behaviour) -> None:
    """What is written as JSON is read back the same."""
    assert Behaviour.from_json(json.loads(json.dumps(behaviour.to_json()))) == behaviour


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ([], "must be a JSON object"),
        ({"state": 503}, "has no state; it has content, delay, failures, fault, quota, retry_after, status"),
        ({"fault": ["hang"]}, "fault must be one of"),
        ({"delay": 10**400}, "delay must be"),
    ],
)
def test_json_that_is_no_behaviour_is_refused(document: object, complaint: str) -> None:
    """JSON that is not a behaviour is a ValueError that says why."""
    with pytest.raises(ValueError, match=complaint):
        Behaviour.from_json(document)
