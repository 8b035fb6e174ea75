"""The books, the HTTP manners and the life of the local Google AI server."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from plain_http import PREDICT_PATH, TEXT_PATH, asking, connect, post, post_over, until

from sharedbreaker.demo.google_ai_server import (
    Behaviour,
    Books,
    Fault,
    GoogleAiServer,
    GoogleAiService,
)
from sharedbreaker.demo.google_ai_server import books as books_module

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT, VISION, IMAGEN = GoogleAiService


@pytest.fixture
def server() -> Iterator[GoogleAiServer]:
    with GoogleAiServer() as started:
        yield started


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as threads:
        yield threads


def test_no_call_is_lost_from_the_books(server: GoogleAiServer, pool: ThreadPoolExecutor) -> None:
    """Sixteen threads with fifty calls each are eight hundred calls in the books."""

    def fifty_calls(_: int) -> None:
        with closing(connect(server)) as connection:
            for number in range(50):
                assert post_over(connection, TEXT_PATH, asking(f"{number}")).status == 200

    list(pool.map(fifty_calls, range(16)))
    counted = server.books(TEXT)
    assert (counted.arrived, counted.answered, counted.in_flight) == (800, {"200": 800}, 0)
    assert 1 <= counted.peak_in_flight <= 16
    journal = server.journal(TEXT)
    assert len(journal) == 800
    assert all(call.ended_at and call.started_at <= call.ended_at for call in journal)


def test_the_peak_is_how_many_calls_were_held_at_once(
    server: GoogleAiServer, pool: ThreadPoolExecutor
) -> None:
    """Seven calls held together make a peak of seven, which outlasts them until a reset."""
    server.behave(TEXT, Behaviour(fault=Fault.HANG))
    held = [pool.submit(post, server, TEXT_PATH, asking("x")) for _ in range(7)]
    until(lambda: server.books(TEXT).in_flight == 7)
    server.heal(TEXT)
    assert [call.result(timeout=5).status for call in held] == [200] * 7
    post(server, TEXT_PATH, asking("x"))
    assert server.books(TEXT) == Books(8, {"200": 8}, in_flight=0, peak_in_flight=7)
    server.reset_books()
    assert server.books(TEXT) == Books(0, {}, in_flight=0, peak_in_flight=0)


def test_a_reset_keeps_the_calls_in_flight(server: GoogleAiServer, pool: ThreadPoolExecutor) -> None:
    """Books reset during a call count it in flight and in the peak, and never as an arrival."""
    server.behave(TEXT, Behaviour(fault=Fault.HANG))
    held = pool.submit(post, server, TEXT_PATH, asking("x"))
    until(lambda: server.books(TEXT).in_flight == 1)
    server.reset_books()
    assert server.books(TEXT) == Books(0, {}, in_flight=1, peak_in_flight=1)
    server.heal(TEXT)
    held.result(timeout=5)
    assert server.books(TEXT) == Books(0, {}, in_flight=0, peak_in_flight=1)
    assert server.journal(TEXT) == []


def test_the_journal_tells_of_each_call(server: GoogleAiServer, pool: ThreadPoolExecutor) -> None:
    """An entry has wall clock seconds and the answer, or no end while the call is in flight."""
    before = time.time()
    post(server, PREDICT_PATH, {"instances": [{"prompt": "x"}]})
    server.behave(IMAGEN, Behaviour(fault=Fault.HANG))
    held = pool.submit(post, server, PREDICT_PATH, {"instances": [{"prompt": "x"}]})
    until(lambda: server.books(IMAGEN).in_flight == 1)
    answered, hanging = server.journal(IMAGEN)
    assert answered.ended_at is not None
    assert before <= answered.started_at <= answered.ended_at <= hanging.started_at <= time.time()
    assert (answered.service, answered.answered) == (IMAGEN, "200")
    assert (hanging.ended_at, hanging.answered) == (None, "")
    assert server.journal(TEXT) == []
    server.heal(IMAGEN)
    held.result(timeout=5)


def test_the_journal_keeps_the_newest_calls(server: GoogleAiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full journal lets go of its oldest call; the counts go on."""
    monkeypatch.setattr(books_module, "JOURNAL_LENGTH", 2)
    server.reset_books()
    for status in (400, 403, 404):
        server.behave(TEXT, Behaviour(status=status))
        post(server, TEXT_PATH, asking("x"))
    assert [call.answered for call in server.journal(TEXT)] == ["403", "404"]
    assert server.books(TEXT).arrived == 3


def test_a_connection_is_kept_and_never_stalls(server: GoogleAiServer) -> None:
    """A hundred calls over one connection, errors among them, take no network pauses."""
    with closing(connect(server)) as connection:
        connection.connect()
        first_socket = connection.sock
        started_at = time.monotonic()
        for number in range(100):
            answer = post_over(connection, TEXT_PATH, asking("x") if number % 2 else b"{")
            assert answer.headers["Connection"] == "keep-alive"
        # A delayed acknowledgement in each call would be forty milliseconds each.
        assert time.monotonic() - started_at < 3.5
        assert connection.sock is first_socket


def test_a_client_may_ask_to_close(server: GoogleAiServer) -> None:
    """After an answer to a request with Connection: close the connection is closed."""
    with closing(connect(server)) as connection:
        connection.request("POST", TEXT_PATH, json.dumps(asking("x")), headers={"Connection": "close"})
        answer = connection.getresponse()
        assert answer.getheader("Connection") == "close"
        answer.read()
        assert connection.sock is None


def test_a_body_in_chunks_is_read_whole(server: GoogleAiServer) -> None:
    """A body in chunks, with a trailer behind it, is read to its end and no further."""
    body = json.dumps(asking("piecemeal")).encode()
    head = f"POST {TEXT_PATH} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunks = b"".join(b"%x;a=b\r\n%b\r\n" % (len(c), c) for c in (body[:20], body[20:]))
    with closing(connect(server)) as connection:
        connection.connect()
        connection.sock.sendall(head + chunks + b"0\r\nTrailer: x\r\n\r\n")
        connection.sock.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        received = b"".join(iter(lambda: connection.sock.recv(65536), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"404"]
    assert b"You asked: piecemeal" in received


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_not_http_is_answered_400_and_closed(server: GoogleAiServer, request_bytes: bytes) -> None:
    """A request that cannot be read is answered with 400 in Google's shape, and no other follows."""
    with closing(connect(server)) as connection:
        connection.connect()
        connection.sock.sendall(request_bytes)
        received = b"".join(iter(lambda: connection.sock.recv(65536), b""))
    assert b"HTTP/1.1 400 " in received
    assert b'"status":"INVALID_ARGUMENT"' in received


def test_clients_that_go_away_leave_no_trace(
    server: GoogleAiServer, capfd: pytest.CaptureFixture[str]
) -> None:
    """Calls, and clients that leave before or in the middle of them, print nothing."""
    post(server, TEXT_PATH, asking("x"))
    host, port = server.url.removeprefix("http://").split(":")
    half_a_call = f"POST {TEXT_PATH} HTTP/1.1\r\nContent-Length: 9\r\n\r\n{{".encode()
    for beginning in (b"", b"POST /v1", half_a_call):
        with socket.create_connection((host, int(port)), timeout=5) as client:
            client.sendall(beginning)
    server.behave(TEXT, Behaviour(fault=Fault.CUT))
    with pytest.raises(ConnectionResetError):
        post(server, TEXT_PATH, asking("x"))
    server.stop()
    assert capfd.readouterr() == ("", "")
    assert server.books(TEXT).answered == {"200": 1, "cut": 1}


def test_stopping_frees_hanging_calls_at_once(server: GoogleAiServer, pool: ThreadPoolExecutor) -> None:
    """A stopped server ends the calls that hang or wait and the idle connections, fast."""
    server.behave(TEXT, Behaviour(fault=Fault.HANG))
    server.behave(IMAGEN, Behaviour(delay=60))
    calls = [pool.submit(post, server, TEXT_PATH, asking("x")) for _ in range(5)]
    calls.append(pool.submit(post, server, PREDICT_PATH, {"instances": [{"prompt": "x"}]}))
    until(lambda: server.books(TEXT).in_flight == 5 and server.books(IMAGEN).in_flight == 1)
    with closing(connect(server)) as idle:
        idle.connect()
        started_at = time.monotonic()
        server.stop()
        assert time.monotonic() - started_at < 5
        assert not [thread for thread in threading.enumerate() if "google-ai" in thread.name]
    for call in calls:
        assert isinstance(call.exception(timeout=5), ConnectionError)
    assert server.books(TEXT).answered == {"hang": 5}
    assert server.books(IMAGEN).answered == {"abandoned": 1}


def test_starting_and_stopping_may_be_repeated(server: GoogleAiServer) -> None:
    """A second start or stop changes nothing, and a restart has the same address and books."""
    url = server.url
    assert server.start() is server
    with closing(connect(server)) as kept:
        post_over(kept, TEXT_PATH, asking("x"))
        server.stop()
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            post(server, TEXT_PATH, asking("x"))
        server.start()
    post(server, TEXT_PATH, asking("x"))
    assert server.url == url
    assert server.books(TEXT).arrived == 2


def test_the_server_listens_in_daemon_threads(server: GoogleAiServer) -> None:
    """A program that forgets to stop its server can end all the same."""
    with closing(connect(server)) as connection:
        post_over(connection, TEXT_PATH, asking("x"))
        threads = [thread for thread in threading.enumerate() if "google-ai" in thread.name]
        assert len(threads) == 2
        assert all(thread.daemon for thread in threads)


def test_a_server_has_no_address_before_it_is_started() -> None:
    """The url of a server that never listened is an error, and not a wrong address."""
    with pytest.raises(RuntimeError, match="before it is started"):
        _ = GoogleAiServer().url
