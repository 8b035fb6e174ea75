"""The floor: one EVALSHA over a bare blocking socket, packed ahead, its reply parsed by hiredis' reader.

Nothing that asks Redis once and has to know the answer can be faster from Python. The script reads two
fields, counts in one key and writes in another, as the cheapest shared breaker would.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import hiredis

from benchmarks.subject import AsyncSubject, GuardedCall, Subject

SCRIPT = """
local seen = redis.call('HMGET', KEYS[1], 'state', 'failure_count')
redis.call('HINCRBY', KEYS[1], 'successful_calls', 1)
redis.call('HSET', KEYS[2], 'last_call', ARGV[1])
return seen[1] or 'closed'
"""
ONE_FIELD_SCRIPT = """
local seen = redis.call('HGET', KEYS[1], 'count')
redis.call('HSET', KEYS[1], 'count', ARGV[1])
return seen
"""
"""What server time is compared with: a script that reads and writes one field of one hash."""
TIMEOUT_SECONDS = 5.0
REPLY_BYTES = 4096


def packed(*words: str | bytes) -> bytes:
    """Return a command as Redis reads it."""
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def bare_socket(url: str) -> socket.socket:
    """Return a blocking socket that is connected to the Redis behind ``url``."""
    where = urlsplit(url)
    if where.scheme == "unix":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(TIMEOUT_SECONDS)
        sock.connect(where.path)
        return sock
    sock = socket.create_connection((where.hostname or "127.0.0.1", where.port or 6379), TIMEOUT_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def asked(sock: socket.socket, command: bytes) -> bytes:
    """Send one command and return its reply, which must fit into one packet."""
    sock.sendall(command)
    reply = sock.recv(REPLY_BYTES)
    if reply[:1] == b"-":
        raise RuntimeError(reply.decode(errors="replace").strip())
    return reply


class Floor(Subject):
    """One round trip and nothing around it. It is no breaker: the function is not even called."""

    def __init__(self, url: str, name: str, threshold: int, *, script: str = SCRIPT) -> None:
        self._socket = bare_socket(url)
        asked(self._socket, packed("SCRIPT", "LOAD", script))
        sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._command = packed("EVALSHA", sha, "2", f"{{{name}}}:a", f"{{{name}}}:b", "1700000000000")
        asked(self._socket, self._command)

    def guard(self, function: Callable[[], int]) -> GuardedCall:
        send = self._socket.sendall
        receive = self._socket.recv
        command = self._command
        reader = hiredis.Reader()
        feed, parsed = reader.feed, reader.gets

        def one_round_trip() -> object:
            send(command)
            feed(receive(REPLY_BYTES))
            return parsed()

        return GuardedCall(one_round_trip)


class UnparsedFloor(Floor):
    """The same where nobody looks at the reply."""

    def guard(self, function: Callable[[], int]) -> GuardedCall:
        send = self._socket.sendall
        receive = self._socket.recv
        command = self._command

        def one_round_trip() -> bytes:
            send(command)
            return receive(REPLY_BYTES)

        return GuardedCall(one_round_trip)


class BareCall(Subject):
    """The call itself, under nothing."""

    def guard(self, function: Callable[[], int]) -> GuardedCall:
        return GuardedCall(function)


class BareAwait(AsyncSubject):
    """The coroutine itself, under nothing."""

    def guard(self, function: Callable[[], Awaitable[int]]) -> GuardedCall:
        return GuardedCall(function)
