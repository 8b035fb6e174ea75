"""The same way to the user's Redis for event loops: bounded, never retried, and never blocking one."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.connection import SSLConnection as SyncSSLConnection
from redis.connection import UnixDomainSocketConnection as SyncUnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.sentinel import SentinelConnectionPool as SyncSentinelConnectionPool

from sharedbreaker.store.async_cluster_link import AsyncClusterLink
from sharedbreaker.store.async_lane import close_at_the_end
from sharedbreaker.store.client_settings import settings_for
from sharedbreaker.store.cluster_link import ClusterLink
from sharedbreaker.store.link import Link
from sharedbreaker.store.process import ForgetsAtFork, call_forget_in_children
from sharedbreaker.store.steps import Command, pack

MOST_CONNECTIONS = 64


class _Held:
    """One connection, in the hands of one question at a time."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.made_at = monotonic()
        self.is_too_late = False

    def give_up(self) -> None:
        """End the question that waits on it."""
        self.is_too_late = True
        self.drop()

    def drop(self) -> None:
        """Close it at once, whatever is still under way on it."""
        writer = self.connection._writer  # noqa: SLF001 - closing it properly would take time to wait
        self.connection._reader = self.connection._writer = None  # noqa: SLF001
        if writer is not None:
            writer.transport.abort()


class _Lane:
    """The connections of one event loop."""

    def __init__(self, most: int) -> None:
        self.free: deque[_Held] = deque()
        self.places = asyncio.Semaphore(most)

    async def close(self) -> None:
        """Close what is free."""
        while self.free:
            self.free.pop().drop()


class AsyncLink(ForgetsAtFork):
    """One Redis, alone or behind Sentinel, as ``link`` reaches it."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._timeout = link.timeout
        self._most = min(link.most, MOST_CONNECTIONS)
        self.forget()
        call_forget_in_children(self)

    def forget(self) -> None:
        """Drop the connections, which are the parent's."""
        self._lanes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Lane] = WeakKeyDictionary()
        self._suspected_at = 0.0

    async def run(self, command: Command) -> Any:
        """Run one command, once, until its deadline. Raises what redis-py raises."""
        words, deadline, packed = command
        left = self._timeout if deadline is None else deadline - monotonic()
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(loop) or await self._open_lane(loop)
        if lane.places.locked():
            await _bounded(lane.places.acquire(), left)
        else:
            await lane.places.acquire()
        try:
            held = await self._connected(lane, left)
            timer = loop.call_later(left, held.give_up)
            try:
                await held.connection.send_packed_command((packed or pack(words),), check_health=False)
                reply = await held.connection.read_response()
            except (ReadOnlyError, RedisConnectionError) as error:
                held.drop()
                if held.is_too_late:
                    raise RedisTimeoutError(f"no answer within {self._timeout} seconds") from error
                # A master that was demoted keeps its connections open, and where one broke others may have.
                self._suspected_at = monotonic()
                raise
            except ResponseError:
                lane.free.append(held)
                raise
            except BaseException as error:
                # Whatever is still under way on it belongs to nobody's next question.
                held.drop()
                if held.is_too_late and isinstance(error, Exception):
                    raise RedisTimeoutError(f"no answer within {self._timeout} seconds") from error
                raise
            finally:
                timer.cancel()
            lane.free.append(held)
            return reply
        finally:
            lane.places.release()

    async def _open_lane(self, loop: asyncio.AbstractEventLoop) -> _Lane:
        lane = self._lanes[loop] = _Lane(self._most)
        await close_at_the_end(lane.close)
        return lane

    async def _connected(self, lane: _Lane, left: float) -> _Held:
        while lane.free:
            held = lane.free.pop()
            if held.made_at > self._suspected_at:
                return held
            held.drop()
        held = _Held(self._new_connection())
        try:
            await _bounded(held.connection.connect(), left)
        except BaseException:
            held.drop()
            raise
        return held

    def _new_connection(self) -> Any:
        pool = self._link.pool
        if isinstance(pool, SyncSentinelConnectionPool):
            return _sentinel_pool(pool).make_connection()
        connection_class: type[Any] = Connection
        if issubclass(pool.connection_class, SyncSSLConnection):
            connection_class = SSLConnection
        elif issubclass(pool.connection_class, SyncUnixDomainSocketConnection):
            connection_class = UnixDomainSocketConnection
        return connection_class(**_ours(settings_for(connection_class, pool.connection_kwargs)))


def _ours(settings: dict[str, Any]) -> dict[str, Any]:
    # The timer bounds a question as a whole; a timeout of the connection's own would bound each part.
    return {
        **settings,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": None,
        "socket_connect_timeout": None,
    }


def _sentinel_pool(pool: SyncSentinelConnectionPool) -> SentinelConnectionPool:
    sentinels = [
        (client.connection_pool.connection_kwargs["host"], client.connection_pool.connection_kwargs["port"])
        for client in pool.sentinel_manager.sentinels
    ]
    login = settings_for(Connection, pool.sentinel_manager.sentinels[0].connection_pool.connection_kwargs)
    login = {name: value for name, value in login.items() if name not in {"host", "port", "retry", "db"}}
    manager = Sentinel(sentinels, pool.sentinel_manager.min_other_sentinels, sentinel_kwargs=login)
    is_tls = issubclass(pool.connection_class, SyncSSLConnection)
    settings = settings_for(SSLConnection if is_tls else Connection, pool.connection_kwargs)
    settings = {name: value for name, value in settings.items() if name not in {"host", "port"}}
    return SentinelConnectionPool(
        pool.service_name, manager, is_master=pool.is_master, ssl=is_tls, **_ours(settings)
    )


async def _bounded(waiting: Any, seconds: float) -> Any:
    try:
        return await asyncio.wait_for(waiting, seconds)
    except asyncio.TimeoutError:
        raise RedisTimeoutError(f"no connection within {seconds:.3g} seconds") from None


_links: WeakKeyDictionary[Link | ClusterLink, AsyncLink | AsyncClusterLink] = WeakKeyDictionary()


def async_twin_of(link: Link | ClusterLink) -> AsyncLink | AsyncClusterLink:
    """Return the link for event loops that leads where ``link`` does. Does no I/O."""
    twin = _links.get(link)
    if twin is None:
        twin = _links[link] = AsyncClusterLink(link) if isinstance(link, ClusterLink) else AsyncLink(link)
    return twin
