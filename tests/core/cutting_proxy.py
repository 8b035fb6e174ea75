"""A TCP proxy in front of a Redis server that loses the reply to one chosen script.

The server has run the script by then: that is what a client's blind repetition would do twice.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType

from sharedbreaker.store.scripts import script

CHUNK = 1 << 20


class CuttingProxy:
    """Forwards everything to a port on 127.0.0.1, except the replies that `lose_reply_to` names."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.lost = 0
        """Replies that were lost so far."""
        self._lock = threading.Lock()
        self._marker = b""
        self._times = 0
        self._before = False
        self._silently = False
        self._meanwhile: Callable[[], None] | None = None
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def lose_reply_to(
        self,
        name: str,
        times: int = 1,
        *,
        before: bool = False,
        silently: bool = False,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        """Cut the connection when script ``name`` has run and its reply is due, so many times in a row.

        ``before``: cut it before the server gets the request, so that the script does not run.
        ``silently``: keep the connection, so that the client waits for as long as it waits.
        ``meanwhile``: what happens before the client learns of it.
        """
        with self._lock:
            self._marker, self._times = script(name).sha.encode(), times
            self._before, self._silently, self._meanwhile = before, silently, meanwhile

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in list(self._sockets):
            _close(one)
        for thread in list(self._threads):
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server_port))
            self._sockets += [client, server]
            replies_wanted = threading.Event()
            replies_wanted.set()
            for work in (self._requests, self._replies):
                thread = threading.Thread(target=work, args=(client, server, replies_wanted), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _requests(self, client: socket.socket, server: socket.socket, wanted: threading.Event) -> None:
        """Hand requests on; a client waits for each reply, so one chunk is one request."""
        with contextlib.suppress(OSError):
            while request := client.recv(CHUNK):
                if self._is_to_be_lost(request):
                    if self._before and not self._silently:
                        break
                    if self._before:
                        self._do_meanwhile()
                        continue
                    wanted.clear()
                server.sendall(request)
        _close(client)
        _close(server)

    def _replies(self, client: socket.socket, server: socket.socket, wanted: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while reply := server.recv(CHUNK):
                if not wanted.is_set():
                    self._do_meanwhile()
                    if self._silently:
                        continue
                    break
                client.sendall(reply)
        _close(client)
        _close(server)

    def _do_meanwhile(self) -> None:
        if self._meanwhile is not None:
            self._meanwhile()

    def _is_to_be_lost(self, request: bytes) -> bool:
        with self._lock:
            if self._times == 0 or self._marker not in request:
                return False
            self._times -= 1
            self.lost += 1
            return True


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
