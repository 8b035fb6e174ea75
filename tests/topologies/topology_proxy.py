"""A TCP proxy in front of a server, for what happens on the way: silence, cut replies, another target."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType

from sharedbreaker.demo.redis_server import free_port

CHUNK = 65536


class _Connection:
    """One client's connection, and ours to the server on its behalf."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._is_cut = False
        self.threads = [threading.Thread(target=pump, daemon=True) for pump in (self._ask, self._answer)]
        for thread in self.threads:
            thread.start()

    def close(self) -> None:
        for end in (self._client, self._server):
            # Wakes the thread that reads from it; closing alone does not.
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _ask(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._client.recv(CHUNK):
                if self._proxy.is_silent:
                    continue
                self._is_cut = self._is_cut or self._proxy.takes_for_cut(data)
                self._server.sendall(data)
        self.close()

    def _answer(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._server.recv(CHUNK):
                if self._proxy.is_silent:
                    continue
                if self._is_cut:
                    self._client.sendall(data[: len(data) // 2])
                    break
                self._client.sendall(data)
        self.close()


class Proxy:
    """A proxy on a free port of 127.0.0.1. Use it in a `with` block.

    Args:
        target: the port on 127.0.0.1 that new connections are led to; may be changed at any time.

    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.is_silent = False
        """Whether requests are taken and swallowed, and nothing is ever answered."""
        self.taken = 0
        """Connections that were taken so far."""
        self.cuts_all = False
        """Whether the server does all it is asked for, and every answer is cut in its middle."""
        self._cuts: list[bytes] = []
        self._lock = threading.Lock()
        self._connections: list[_Connection] = []
        self.port = free_port()
        self.listen()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.refuse()

    def listen(self) -> None:
        """Take connections, as from the beginning."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self._thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._thread.start()

    def refuse(self) -> None:
        """Close every connection, and take none."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.drop()

    def cut_answer_to(self, marker: str) -> None:
        """Let the server do the next request that contains `marker`, and cut the answer in its middle."""
        with self._lock:
            self._cuts.append(marker.encode())

    @property
    def has_cut(self) -> bool:
        """Whether every cut that was ordered has been made."""
        return not self._cuts

    def takes_for_cut(self, request: bytes) -> bool:
        if self.cuts_all:
            return True
        with self._lock:
            found = next((marker for marker in self._cuts if marker in request), None)
            if found is not None:
                self._cuts.remove(found)
            return found is not None

    def drop(self) -> None:
        """Close every connection; new ones are taken."""
        connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()
        for connection in connections:
            for thread in connection.threads:
                thread.join()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.taken += 1
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            self._connections.append(_Connection(self, client, server))
