"""Looking for a master in many threads or tasks at once, without forgetting a sentinel.

redis-py swaps the sentinel that answered to the front of its list, by the place that it had when the search
began. Two searches at once may so write one sentinel over another, which nobody asks again: the one that is
left stands there twice, and when it dies no master is found although a majority lives.
"""

from __future__ import annotations

import copy
from typing import Any

from redis.asyncio.sentinel import Sentinel as AsyncSentinel


class Sentinels:
    """The sentinels of a user's client, as threads ask them. The client keeps a list of its own.

    Args:
        manager: a ``redis.sentinel.Sentinel``.

    """

    def __init__(self, manager: Any) -> None:
        self._manager = copy.copy(manager)
        self._manager.sentinels = list(manager.sentinels)
        self._all = tuple(manager.sentinels)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._manager, name)

    def discover_master(self, service_name: str) -> Any:
        """Return where the master is, as redis-py finds it."""
        try:
            return self._manager.discover_master(service_name)
        finally:
            _keep_all(self._manager.sentinels, self._all)


class AsyncSentinels(AsyncSentinel):
    """The same for tasks."""

    def __init__(
        self, places: list[tuple[str, int]], min_other_sentinels: int, login: dict[str, Any]
    ) -> None:
        super().__init__(places, min_other_sentinels, sentinel_kwargs=login)  # type: ignore[no-untyped-call]
        self.all = tuple(self.sentinels)

    async def discover_master(self, service_name: str) -> Any:
        """Return where the master is, as redis-py finds it."""
        try:
            return await super().discover_master(service_name)
        finally:
            _keep_all(self.sentinels, self.all)


def _keep_all(known: list[Any], every: tuple[Any, ...]) -> None:
    """Put back into ``known`` what was overwritten there."""
    now = list(dict.fromkeys(known))
    missing = [sentinel for sentinel in every if sentinel not in now]
    if missing:
        known[:] = now + missing
