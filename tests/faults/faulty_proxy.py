"""The network between workers and Redis: a process of its own, which delays, cuts and swallows.

It listens on one port for each lane of workers, so that a part of the fleet may be cut off from Redis.
Control is one line on a port of its own: lane, mode, value; the answer is ``done``. The modes:

``pass``         nothing is wrong
``delay``        each request waits ``value`` seconds, and arrives also where its sender has gone
``late``         one request in four waits ``value`` seconds, so that it may be overtaken by its repetition
``cut_request``  a request is dropped with its connection, with the probability ``value``
``cut_reply``    a reply is dropped with its connection, with the probability ``value``
``swallow``      connections stay open and nothing gets through
``refuse``       connections are closed, new ones as well

It knows what no client can know: what Redis said to an admission whose answer was not read. So it keeps
books: a line ``token verdict epoch time delivered`` for each admission whose answer was not delivered (0), or
was the last that its connection delivered (1). The verdict is ``?`` where Redis took the question and went
away.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from fault_ledger import true_time

MODES = ("pass", "delay", "late", "cut_request", "cut_reply", "swallow", "refuse")
BOOKS = "network.books"
SHARE_LATE = 0.25
LINGER_SECONDS = 4.0
"""How long an answer is waited for whose reader has gone."""
ADMISSION = b"*10\r\n"
"""Only `admit` is an EVALSHA or EVAL of nine words."""


class Lane:
    """One port and what befalls those who use it."""

    def __init__(self, target: int, seed: str, books: TextIO) -> None:
        self.mode = "pass"
        self.value = 0.0
        self.random = random.Random(seed)
        self.books = books
        self.connections: set[Connection] = set()
        self._target = target

    def set(self, mode: str, value: float) -> None:
        """Change what befalls."""
        self.mode, self.value = mode, value
        for connection in list(self.connections):
            if mode == "refuse" or connection.has_swallowed:
                connection.client.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        try:
            if self.mode == "refuse":
                return
            redis_reader, redis_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            return
        else:
            connection = Connection(self, writer, redis_writer)
            self.connections.add(connection)
            await asyncio.gather(connection.carry_requests(reader), connection.carry_replies(redis_reader))
            connection.write_last()
            self.connections.discard(connection)
        finally:
            writer.close()


class Connection:
    """One connection: requests one way, replies the other, never more than one under way."""

    def __init__(self, lane: Lane, client: asyncio.StreamWriter, redis: asyncio.StreamWriter) -> None:
        self.client = client
        self.has_swallowed = False
        self._lane = lane
        self._redis = redis
        self._request = b""
        """What Redis has got and not answered."""
        self._last = ("", b"")
        self._client_gone = False

    async def carry_requests(self, reader: asyncio.StreamReader) -> None:
        """Carry requests until the client leaves, or the network drops it."""
        lane = self._lane
        with suppress(OSError):
            while data := await reader.read(65536):
                if lane.mode == "swallow":
                    self.has_swallowed = True
                    continue
                if lane.mode == "cut_request" and lane.random.random() < lane.value:
                    break
                if lane.mode == "delay" or (lane.mode == "late" and lane.random.random() < SHARE_LATE):
                    await asyncio.sleep(lane.value)
                self._request += data
                self._redis.write(data)
                await self._redis.drain()
        self._client_gone = True
        self.client.close()
        if not self._request:
            self._redis.close()

    async def carry_replies(self, reader: asyncio.StreamReader) -> None:
        """Carry replies until Redis leaves, or the network drops one, or nobody reads them any more."""
        lane = self._lane
        with suppress(OSError, TimeoutError):
            while data := await asyncio.wait_for(reader.read(65536), self._patience()):
                token, self._request = _token_in(self._request), b""
                is_cut = lane.mode == "cut_reply" and lane.random.random() < lane.value
                if self._client_gone or is_cut:
                    self._write(token, data, delivered=0)
                    break
                self._last = token, data
                self.client.write(data)
                await self.client.drain()
        if self._request:
            self._write(_token_in(self._request), b"", delivered=0)
        self._redis.close()
        self.client.close()

    def write_last(self) -> None:
        """Write down the last answer that was delivered: perhaps its reader had no more patience."""
        self._write(*self._last, delivered=1)

    def _patience(self) -> float | None:
        return LINGER_SECONDS if self._client_gone else None

    def _write(self, token: str, reply: bytes, *, delivered: int) -> None:
        if token:
            parts = reply.split(b"\r\n")
            is_whole = len(parts) > 8 and reply.startswith(b"*")
            verdict, epoch = (parts[2].decode(), parts[8].decode()) if is_whole else ("?", "0")
            if reply.startswith(b"$") and reply.endswith(b"\r\n"):
                # The usual answers are short: the epoch, and a wait behind it for a rejection.
                epoch, _, wait = parts[1].decode().partition(" ")
                verdict = "rejected" if wait else "admitted"
            if reply.startswith(b"-"):
                verdict = "refused"
            self._lane.books.write(f"{token} {verdict} {epoch} {true_time():.6f} {delivered}\n")


def _token_in(request: bytes) -> str:
    """Return the token of an admission; an empty text for any other request."""
    if not request.startswith(ADMISSION) or b"EVAL" not in request[:24]:
        return ""
    return request.split(b"\r\n")[-6].decode()


async def run(target: int, control: int, ports: list[int], seed: int, folder: Path) -> None:
    """Serve until SIGTERM."""
    with (folder / BOOKS).open("w", encoding="utf-8") as books:
        lanes = [Lane(target, f"{seed}/{number}", books) for number in range(len(ports))]

        async def obey(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := (await reader.readline()).decode().split():
                lanes[int(line[0])].set(line[1], float(line[2]))
                writer.write(b"done\n")
            writer.close()

        for lane, port in zip(lanes, ports, strict=True):
            await asyncio.start_server(lane.serve, "127.0.0.1", port)
        await asyncio.start_server(obey, "127.0.0.1", control)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await ended.wait()
        for lane in lanes:
            for connection in lane.connections:
                connection.write_last()


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[2:]]
    asyncio.run(run(numbers[0], numbers[1], numbers[3:], numbers[2], Path(sys.argv[1])))
