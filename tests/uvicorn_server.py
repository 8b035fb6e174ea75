"""An ASGI app behind a real uvicorn on a free port."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve ``app`` in a thread while the block lasts; give its address without ``http://``."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="websockets-sansio", lifespan="on"))
    started = threading.Event()
    thread = threading.Thread(target=_run, args=(server, listener, started))
    thread.start()
    try:
        assert started.wait(10)
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
    assert not thread.is_alive()


def _run(server: uvicorn.Server, listener: socket.socket, started: threading.Event) -> None:
    begin = server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        await begin(sockets)
        started.set()

    server.startup = startup  # type: ignore[method-assign]
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it logs what tests provoke
    server.run([listener])
