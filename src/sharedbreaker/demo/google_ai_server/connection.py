"""HTTP between the local Google AI server and one client."""

import json
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from time import time

from sharedbreaker.demo.google_ai_server.answers import (
    Route,
    answer,
    broken_off,
    doubled,
    find_route,
    service_of,
)
from sharedbreaker.demo.google_ai_server.behaviour import (
    HEALTHY_STATUS,
    Behaviour,
    Fault,
    GoogleAiService,
)
from sharedbreaker.demo.google_ai_server.books import Call
from sharedbreaker.demo.google_ai_server.control_api import CONTROL_PATH, answer_control
from sharedbreaker.demo.google_ai_server.endpoint import Endpoint, Waited, wait_for_time
from sharedbreaker.demo.google_ai_server.replies import InvalidArgumentError, Reply, error_reply

_LONGEST_CHUNK_HEADER = 256
_LINGER_FOR_NO_TIME = struct.pack("ii", 1, 0)


class Connection(BaseHTTPRequestHandler):
    """One client's connection, over which requests follow each other until either side ends it.

    ``endpoints`` are the services; a subclass for each server sets it.
    """

    endpoints: Mapping[GoogleAiService, Endpoint]

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer a GET request."""
        self._answer()

    def do_POST(self) -> None:
        """Answer a POST request."""
        self._answer()

    def do_PUT(self) -> None:
        """Answer a PUT request."""
        self._answer()

    def do_DELETE(self) -> None:
        """Answer a DELETE request."""
        self._answer()

    def _answer(self) -> None:
        started_at = time()
        try:
            body = self._read_body()
        except ValueError as error:
            self.send_error(400, f"The body of the request cannot be read: {error}")
            return
        if self.path.startswith(CONTROL_PATH):
            self._write(answer_control(self.command, self.path, body, self.endpoints))
            return
        route = find_route(self.path) if self.command == "POST" else None
        if route is None:
            self._write(error_reply(404, f"{self.command} {self.path} is not found."))
            return
        self._attend(route, _read_json(body), started_at)

    def _attend(self, route: Route, payload: object, started_at: float) -> None:
        endpoint = self.endpoints[service_of(route, payload)]
        call = endpoint.ledger.open_call(started_at)
        try:
            self._follow_orders(endpoint, call, route, payload)
        finally:
            # Only if a defect of this server got in the way is the call still open here.
            endpoint.ledger.close_call(call, "500")

    def _follow_orders(self, endpoint: Endpoint, call: Call, route: Route, payload: object) -> None:
        close_call = endpoint.ledger.close_call
        waited = Waited.NEW_ORDERS
        while waited is Waited.NEW_ORDERS:
            behaviour, number = endpoint.take_orders()
            waited = Waited.TIME_IS_UP
            if behaviour.delay:
                waited = wait_for_time(self.connection, behaviour.delay)
            if waited is Waited.TIME_IS_UP and behaviour.fault is Fault.HANG:
                waited = endpoint.wait_for_new_orders(self.connection, number)
                if waited is Waited.CLIENT_LEFT:
                    close_call(call, Fault.HANG.value)
                    self.close_connection = True
                    return
        if waited is Waited.CLIENT_LEFT:
            close_call(call, "abandoned")
            self.close_connection = True
        elif behaviour.fault is Fault.CUT:
            close_call(call, Fault.CUT.value)
            self._reset()
        else:
            reply = _reply(route, payload, behaviour)
            fault = behaviour.fault
            rest = b""
            if fault is Fault.HANG_MID_ANSWER:
                rest = self._write_half(reply)
                waited = endpoint.wait_for_new_orders(self.connection, number)
            close_call(call, str(reply.status) if fault is Fault.NONE else fault.value)
            if waited is Waited.CLIENT_LEFT:
                self.close_connection = True
            elif rest:
                self.wfile.write(rest)
            else:
                self._write(reply, fault)

    def _write_half(self, reply: Reply) -> bytes:
        half = len(reply.body) // 2
        self.wfile.write(self._head(reply, len(reply.body)) + reply.body[:half])
        return reply.body[half:]

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(iter(self._read_chunk, b""))
        return self._read_exactly(_natural(self.headers.get("Content-Length", "0"), 10))

    def _read_chunk(self) -> bytes:
        header = self.rfile.readline(_LONGEST_CHUNK_HEADER).decode("latin-1")
        chunk = self._read_exactly(_natural(header.partition(";")[0].strip(), 16))
        line = self.rfile.readline()
        while not chunk and line.strip():
            line = self.rfile.readline()
        return chunk

    def _read_exactly(self, length: int) -> bytes:
        read = self.rfile.read(length)
        if len(read) < length:
            raise ConnectionAbortedError("the client left in the middle of its request")
        return read

    def _write(self, reply: Reply, fault: Fault = Fault.NONE) -> None:
        body = reply.body
        if fault is Fault.BROKEN_JSON:
            body = body[: body.rindex(b'"')]
        elif fault is Fault.DOUBLED_JSON:
            body = doubled(body)
        length = len(body)
        if fault in {Fault.CUT_MID_ANSWER, Fault.RESET_MID_ANSWER}:
            body = body[: length // 2]
            self.close_connection = True
        # In one piece: a body sent after its head would wait for the client's delayed
        # acknowledgement.
        self.wfile.write(self._head(reply, length) + body)
        if fault is Fault.RESET_MID_ANSWER:
            self._reset()

    def _head(self, reply: Reply, length: int) -> bytes:
        headers = {
            "Content-Type": reply.content_type,
            "Content-Length": str(length),
            "Date": self.date_time_string(),
            "Connection": "close" if self.close_connection else "keep-alive",
            **reply.headers,
        }
        head = [f"HTTP/1.1 {reply.status} {_reason(reply.status)}"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*head, "", ""]).encode("latin-1")

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_FOR_NO_TIME)
        # A socket is reset when the last reference to it is closed, and the reader is one.
        self.rfile.close()
        self.connection.close()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that is not even HTTP, and end the connection."""
        self.close_connection = True
        self._write(error_reply(code, message or explain or _reason(code)))


def _reply(route: Route, payload: object, behaviour: Behaviour) -> Reply:
    in_array = route.answers_with_array
    if behaviour.status != HEALTHY_STATUS:
        return error_reply(
            behaviour.status,
            f"The local Google AI server was told to answer {behaviour.status}.",
            retry_after=behaviour.retry_after,
            quota=behaviour.quota,
            in_array=in_array,
        )
    try:
        if behaviour.fault is Fault.ERROR_MID_STREAM:
            return broken_off(route, payload)
        return answer(route, payload, behaviour.content)
    except InvalidArgumentError as error:
        return error_reply(400, str(error), in_array=in_array)


def _read_json(body: bytes) -> object:
    with suppress(ValueError):
        return json.loads(body)
    return None


def _natural(digits: str, base: int) -> int:
    number = int(digits, base)
    if number < 0:
        raise ValueError(f"{digits} is not a length")
    return number


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
