"""A Redis whose answers wait for the loop that asked: only a loop that goes on ever gets them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable
from types import TracebackType
from typing import TypeVar

from typing_extensions import Self

T = TypeVar("T")
BEATS = 5
BEAT_SECONDS = 0.005
CHUNK = 1 << 16


class WaitingRedis:
    """A TCP proxy, in threads of its own, that hands on no answer while `may_answer` is not set."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.held = threading.Event()
        """Whether an answer was held back since the last look at it."""
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.may_answer.set()
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join(10)

    async def answered(self, question: Awaitable[T]) -> T:
        """Ask, and have the answer come only after the loop has gone on for some beats meanwhile."""
        self.held.clear()
        self.may_answer.clear()
        asked = asyncio.ensure_future(question)
        beats = 0
        while not asked.done() and beats < BEATS:
            await asyncio.sleep(BEAT_SECONDS)
            beats += self.held.is_set()
        self.may_answer.set()
        answer = await asked
        assert beats == BEATS or not self.held.is_set(), "the loop stood still while Redis was waited for"
        return answer

    def _start(self, work: object, *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            self._ends += [client, server]
            self._start(self._ask, client, server)
            self._start(self._answer, server, client)

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(CHUNK):
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(CHUNK):
                if not self.may_answer.is_set():
                    self.held.set()
                self.may_answer.wait()
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)
