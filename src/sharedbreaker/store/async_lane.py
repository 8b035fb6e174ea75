"""What belongs to one event loop, and ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

_kept: dict[asyncio.AbstractEventLoop, list[AsyncGenerator[None, None]]] = {}


async def close_at_the_end(close: Callable[[], Awaitable[Any]]) -> None:
    """Have ``close`` awaited when the running loop shuts down.

    A loop tells nobody that it ends, but closes what generates in it, as asyncio.run and its kin see to.
    """
    for ended in [loop for loop in list(_kept) if loop.is_closed()]:
        _kept.pop(ended, None)  # closed by somebody who did not shut it down
    loop = asyncio.get_running_loop()
    generator = _until_the_end(close, loop)
    await generator.__anext__()
    _kept.setdefault(loop, []).append(generator)


async def _until_the_end(
    close: Callable[[], Awaitable[Any]], loop: asyncio.AbstractEventLoop
) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        _kept.pop(loop, None)
        await close()


def abort(transport: Any) -> None:
    """Close a transport at once, whatever is under way on it and whether its loop is still there."""
    try:
        transport.abort()
    except RuntimeError:  # its loop is closed, and with it the only way to say goodbye
        _close_socket_of(transport)


def _close_socket_of(transport: Any) -> None:
    # asyncio would warn of a socket that nobody closed, and nobody else can.
    protocol = getattr(transport, "_ssl_protocol", None)
    if protocol is not None:
        transport._closed = True  # noqa: SLF001 - there is no loop that could do it
        transport = protocol._transport  # noqa: SLF001
    sock = getattr(transport, "_sock", None)
    if sock is not None:
        sock.close()
        transport._sock = None  # noqa: SLF001
