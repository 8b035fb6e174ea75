"""A TCP proxy in front of a Redis server that cuts connections, or lets answers through drop by drop."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType

CHUNK = 1 << 16
PIECE = 400
PAUSE_SECONDS = 0.05


class BadNetwork:
    """Forwards everything to a port on 127.0.0.1, well or badly."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.cuts = 0
        """How many of the next questions end their connection instead of reaching the server."""
        self.dribbles = False
        """Whether answers come in small pieces, each soon after the one before."""
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> BadNetwork:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for end in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._sockets += [client, server]
                for source, target in ((client, server), (server, client)):
                    pump = threading.Thread(
                        target=self._pump,
                        args=(source, target, source is client),
                        daemon=True,
                    )
                    self._threads.append(pump)
                    pump.start()

    def _pump(self, source: socket.socket, target: socket.socket, is_client: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                if is_client and self.cuts:
                    self.cuts -= 1
                    break
                if not is_client and self.dribbles:
                    self._dribble(data, target)
                else:
                    target.sendall(data)
        with contextlib.suppress(OSError):
            source.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def _dribble(self, data: bytes, target: socket.socket) -> None:
        for start in range(0, len(data), PIECE):
            target.sendall(data[start : start + PIECE])
            time.sleep(PAUSE_SECONDS)
