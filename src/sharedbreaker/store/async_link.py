"""The same way to the user's Redis for event loops: bounded, never retried, and never blocking one."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from time import monotonic
from typing import Any
from weakref import finalize

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.connection import SSLConnection as SyncSSLConnection
from redis.connection import UnixDomainSocketConnection as SyncUnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.sentinel import SentinelConnectionPool as SyncSentinelConnectionPool

from sharedbreaker.store.async_bound import bounded, go_on_closing
from sharedbreaker.store.async_cluster_link import AsyncClusterLink
from sharedbreaker.store.async_lane import abort, close_at_the_end
from sharedbreaker.store.client_settings import settings_for
from sharedbreaker.store.cluster_link import ClusterLink
from sharedbreaker.store.link import Link
from sharedbreaker.store.process import ForgetsAtFork, call_forget_in_children
from sharedbreaker.store.sentinels import AsyncSentinels
from sharedbreaker.store.steps import Command, pack

MOST_CONNECTIONS = 64


class _Held:
    """One connection, in the hands of one question at a time."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.made_at = monotonic()
        self.is_too_late = False

    async def ask(self, packed: bytes) -> Any:
        """Send one command and return its reply."""
        connection = self.connection
        # The connection would look after timeouts and word errors: here that is done for all that is asked.
        # Nothing else waits to be sent on it, so nothing needs to drain.
        connection._writer.write(packed)  # noqa: SLF001
        try:
            reply = await connection._parser.read_response()  # noqa: SLF001
        except OSError as error:
            raise RedisConnectionError(str(error)) from error
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    def give_up(self) -> None:
        """End the question that waits on it."""
        self.is_too_late = True
        self.drop()

    def drop(self) -> None:
        """Close it at once, whatever is still under way on it. Raises nothing."""
        writer = self.connection._writer  # noqa: SLF001 - closing it properly would take time to wait
        self.connection._reader = self.connection._writer = None  # noqa: SLF001
        if writer is not None:
            abort(writer.transport)


class _Lane:
    """The connections of one event loop."""

    def __init__(self, most: int, sentinels: SentinelConnectionPool | None) -> None:
        self.free: deque[_Held] = deque()
        self.places = asyncio.Semaphore(most)
        self.sentinels = sentinels
        """What finds the master, where Sentinel keeps it."""

    def take_back(self, held: _Held) -> None:
        """Keep a connection for the next question, unless its time was up when its answer had just come."""
        if not held.is_too_late:
            self.free.append(held)

    def drop_free(self) -> None:
        """Close at once what is free."""
        while self.free:
            self.free.pop().drop()

    async def close(self) -> None:
        """Close what is free."""
        self.drop_free()
        if self.sentinels is not None:
            for client in self.sentinels.sentinel_manager.all:
                with contextlib.suppress(Exception):  # one that is gone keeps the others from nothing
                    await client.connection_pool.disconnect()


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
        self._lanes: dict[asyncio.AbstractEventLoop, _Lane] = {}
        # What is free would stay open for as long as its loop runs.
        finalize(self, _drop_lanes, self._lanes).atexit = False
        self._suspected_at = 0.0

    async def run(self, command: Command) -> Any:
        """Run one command, once, until its deadline. Raises what redis-py raises."""
        handled = sys.exc_info()[1]
        words, deadline, packed = command
        left = self._timeout if deadline is None else deadline - monotonic()
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(loop) or await self._open_lane(loop)
        if lane.places.locked():
            await bounded(lane.places.acquire(), left, "free connection")
        else:
            await lane.places.acquire()
        try:
            held = await self._connected(lane, left)
            timer = loop.call_later(left, held.give_up)
            try:
                reply = await held.ask(packed or pack(words))
            except (ReadOnlyError, RedisConnectionError) as error:
                held.drop()
                go_on_closing(error, handled)
                if held.is_too_late:
                    raise RedisTimeoutError(f"no answer within {self._timeout:.2g} seconds") from error
                # A master that was demoted keeps its connections open, and where one broke others may have.
                self._suspected_at = monotonic()
                raise
            except ResponseError:
                lane.take_back(held)
                raise
            except BaseException as error:
                # Whatever is still under way on it belongs to nobody's next question.
                held.drop()
                go_on_closing(error, handled)
                if held.is_too_late and isinstance(error, Exception):
                    raise RedisTimeoutError(f"no answer within {self._timeout:.2g} seconds") from error
                raise
            finally:
                timer.cancel()
            lane.take_back(held)
            return reply
        finally:
            with contextlib.suppress(RuntimeError):  # its loop is closed, and nobody waits there any more
                lane.places.release()

    async def _open_lane(self, loop: asyncio.AbstractEventLoop) -> _Lane:
        for ended in [other for other in list(self._lanes) if other.is_closed()]:
            forgotten = self._lanes.pop(ended, None)
            if forgotten is not None:  # by this thread and not by another one
                forgotten.drop_free()
        pool = self._link.pool
        sentinels = (
            _sentinel_pool(pool, self._timeout) if isinstance(pool, SyncSentinelConnectionPool) else None
        )
        lane = self._lanes[loop] = _Lane(self._most, sentinels)
        await close_at_the_end(lane.close)
        return lane

    async def _connected(self, lane: _Lane, left: float) -> _Held:
        while lane.free:
            held = lane.free.pop()
            if held.made_at > self._suspected_at:
                return held
            held.drop()
        held = _Held(self._new_connection(lane))
        try:
            await bounded(held.connection.connect(), left, "connection")
        except BaseException:
            held.drop()
            raise
        return held

    def _new_connection(self, lane: _Lane) -> Any:
        if lane.sentinels is not None:
            return lane.sentinels.make_connection()
        pool = self._link.pool
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


def _sentinel_pool(pool: SyncSentinelConnectionPool, timeout: float) -> SentinelConnectionPool:
    sentinels = [
        (client.connection_pool.connection_kwargs["host"], client.connection_pool.connection_kwargs["port"])
        for client in pool.sentinel_manager.sentinels
    ]
    login = settings_for(Connection, pool.sentinel_manager.sentinels[0].connection_pool.connection_kwargs)
    # Each is asked once, and soon enough for the others to be asked as well.
    share = timeout / len(sentinels)
    login = {
        **{name: value for name, value in login.items() if name not in {"host", "port", "db"}},
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": min(login.get("socket_timeout") or share, share),
        "socket_connect_timeout": min(login.get("socket_connect_timeout") or share, share),
    }
    manager = AsyncSentinels(sentinels, pool.sentinel_manager.min_other_sentinels, login)
    is_tls = issubclass(pool.connection_class, SyncSSLConnection)
    settings = settings_for(SSLConnection if is_tls else Connection, pool.connection_kwargs)
    settings = {name: value for name, value in settings.items() if name not in {"host", "port"}}
    return SentinelConnectionPool(
        pool.service_name, manager, is_master=pool.is_master, ssl=is_tls, **_ours(settings)
    )


def _drop_lanes(lanes: dict[asyncio.AbstractEventLoop, _Lane]) -> None:
    for loop, lane in list(lanes.items()):
        if loop.is_closed():
            lane.drop_free()
        else:
            with contextlib.suppress(RuntimeError):  # it was closed at this moment
                loop.call_soon_threadsafe(lane.drop_free)


def async_twin_of(link: Link | ClusterLink) -> AsyncLink | AsyncClusterLink:
    """Return the link for event loops that leads where ``link`` does. Does no I/O."""
    twin: AsyncLink | AsyncClusterLink | None = link.twin
    if twin is None:
        twin = link.twin = AsyncClusterLink(link) if isinstance(link, ClusterLink) else AsyncLink(link)
    return twin
