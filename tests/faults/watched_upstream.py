"""The service behind the breakers: a process of its own, which fails in phases and keeps its own books.

A request is one line: circuit, token, probe (0 or 1), local (0 or 1), epoch. The answer is one word: success,
failure or ignored. ``!fail`` makes it fail every call, ``!heal`` none, ``!phases`` as the seed says.
Its books hold ``s number circuit token probe local epoch time`` and ``e number answer time``.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path

from fault_ledger import true_time
from fault_terms import LONGEST_CALL, NAMES

BOOKS = "upstream.books"


class Phases:
    """Whether a circuit's service is out at a moment: health and outages by turns, by the seed."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self._until = 0.0
        self._is_out = True

    def is_out(self, elapsed: float) -> bool:
        """Return whether the service is out. ``elapsed`` seconds since the beginning, never going back."""
        while elapsed >= self._until:
            self._is_out = not self._is_out
            self._until += self._random.uniform(0.4, 1.4) if self._is_out else self._random.uniform(1.0, 3.5)
        return self._is_out


class Upstream:
    """The server's behaviour and books."""

    def __init__(self, seed: int, books: Path) -> None:
        self._phases = {name: Phases(f"{seed}/{name}") for name in NAMES}
        self._random = random.Random(f"{seed}/upstream")
        self._began = true_time()
        self._books = books.open("w", encoding="utf-8")
        self._numbers = itertools.count()
        self._mode = "!phases"

    def decide(self, circuit: str) -> tuple[str, float]:
        """Return an answer and how long it takes."""
        dice = self._random.random()
        seconds = self._random.uniform(0.001, 0.02)
        if self._random.random() < 0.06:
            seconds = self._random.uniform(0.1, LONGEST_CALL - 0.05)
        if self._mode == "!heal":
            return "success", seconds
        if self._mode == "!fail" or self._phases[circuit].is_out(true_time() - self._began):
            return ("failure" if dice < 0.92 or self._mode == "!fail" else "success"), seconds
        if dice < 0.03:
            return "failure", seconds
        return ("ignored" if dice < 0.09 else "success"), seconds

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests, one after the other."""
        try:
            while line := (await reader.readline()).decode().strip():
                writer.write((await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass  # a worker was killed
        finally:
            writer.close()
            with suppress(ConnectionError):  # or asyncio complains of it when nobody looks
                await writer.wait_closed()

    async def _answer(self, line: str) -> str:
        if line.startswith("!"):
            self._mode = line
            return "done"
        number = next(self._numbers)
        answer, seconds = self.decide(line.split(" ", 1)[0])
        self._books.write(f"s {number} {line} {true_time():.6f}\n")
        await asyncio.sleep(seconds)
        self._books.write(f"e {number} {answer} {true_time():.6f}\n")
        return answer

    def close(self) -> None:
        """Write the books to the end."""
        self._books.close()


async def run(port: int, seed: int, folder: Path) -> None:
    """Serve until SIGTERM."""
    upstream = Upstream(seed, folder / BOOKS)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", port)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await ended.wait()
    server.close()
    upstream.close()


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
