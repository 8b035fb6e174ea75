"""What belongs to one event loop, and ends with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

_kept: set[AsyncGenerator[None, None]] = set()


async def close_at_the_end(close: Callable[[], Awaitable[Any]]) -> None:
    """Have ``close`` awaited when the running loop shuts down.

    A loop tells nobody that it ends, but closes what generates in it, as asyncio.run and its kin see to.
    """
    generator = _until_the_end(close)
    await generator.__anext__()
    _kept.add(generator)


async def _until_the_end(close: Callable[[], Awaitable[Any]]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await close()
