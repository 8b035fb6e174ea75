"""Our own way to the user's Redis: bounded, never retried, and shared by the circuits of a process.

redis-py's clients may repeat a command whose answer did not come, and so apply a script twice; and they
may wait for as long as they please. So a client that is handed in tells only where Redis is and how to
log in there. It is never used and never changed.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

from redis import ConnectionPool, Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from sharedbreaker.circuit.errors import SettingsError
from sharedbreaker.store.bounded_connection import bounded, give_up_at
from sharedbreaker.store.client_settings import client_for_threads
from sharedbreaker.store.cluster_link import ClusterLink
from sharedbreaker.store.environment import url_from_environment
from sharedbreaker.store.guard import Guard
from sharedbreaker.store.process import ForgetsAtFork, call_forget_in_children
from sharedbreaker.store.redis_url import pool_of, refusal_of
from sharedbreaker.store.sentinels import Sentinels
from sharedbreaker.store.steps import Command, pack

RedisLike = Redis | RedisCluster | AsyncRedis | AsyncRedisCluster | str | None
"""Where Redis is: a client of redis-py, for threads or for event loops, or a URL."""
MOST_CONNECTIONS = 64
FIRST_PART = 0.9
LAST_PART = 0.1
"""Parts of the timeout: with more left than the first, a socket's own timeout serves; with less than the
last, a question is not worth sending."""

# What redis-py's pools add to their settings for themselves, and for clients that behave otherwise than ours.
_NOT_OURS = (
    "connection_pool", "event_dispatcher", "himport_registry", "maint_notifications_config",
    "maint_notifications_pool_handler", "orig_host_address", "orig_socket_timeout",
    "orig_socket_connect_timeout", "cache", "cache_config", "retry_on_timeout", "retry_on_error",
)  # fmt: skip


class Link(ForgetsAtFork):
    """One Redis, alone or behind Sentinel.

    Connections are made by a pool of redis-py and kept here: whoever asks takes one and gives it back, which
    is one step each. There are never more than ``MOST_CONNECTIONS``, or than the user's pool allows.
    """

    def __init__(self, pool: ConnectionPool, most: int, timeout: float, retry_interval: float) -> None:
        self._guard = Guard(retry_interval)
        self._pool = pool
        self.most = most
        self.timeout = timeout
        self.twin: Any = None
        """What leads there for event loops, once somebody has asked for it. It ends with this one."""
        self.forget()
        call_forget_in_children(self)

    def forget(self) -> None:
        """Drop the connections, which are the parent's."""
        self._free: deque[Any] = deque()
        self._made = 0
        self._waiting = 0
        self._given_back = threading.Condition()
        self.suspected_at = 0.0

    is_quick = True
    """Whether it takes what was packed ahead."""

    def guard_of_circuit(self) -> Guard:
        """Return the guard of a circuit that lives there: one for all, since they share one server."""
        return self._guard

    @property
    def pool(self) -> ConnectionPool:
        """What makes connections as bounded as this link's, for whoever needs one for itself."""
        return self._pool

    def subscription(self) -> PubSub:
        """Return what hears published messages, on a connection of its own. Connects at its first use."""
        return PubSub(self._pool)

    @property
    def address(self) -> str:
        """Where this leads, for logs and errors: never with a password."""
        settings = self._pool.connection_kwargs
        if isinstance(self._pool, SentinelConnectionPool):
            return f"the master {self._pool.service_name!r} of Sentinel"
        if "path" in settings:
            return f"unix:{settings['path']}"
        return f"{settings.get('host', '?')}:{settings.get('port', '?')}"

    def deadline(self) -> float:
        """Return the monotonic moment by which a question that is asked now must have its answer."""
        return monotonic() + self.timeout

    def ask(self, packed: bytes) -> Any:
        """Run one packed command, once, for as long as a question may take. Raises what redis-py raises.

        It does what ``run`` does, and no more of it than a connection at hand needs.
        """
        try:
            connection = self._free.pop()
        except IndexError:
            return self.run(Command((), None, packed))
        try:
            if connection.made_at <= self.suspected_at or connection._sock is None:  # noqa: SLF001
                self._connect(connection, self.deadline())
            connection._sock.sendall(packed)  # noqa: SLF001
            # The connection's own read_response words errors, which is done below, and takes twice as long.
            reply = connection._parser.read_response()  # noqa: SLF001
        except BaseException as error:
            self._failed(connection, error)
            self._give_back(connection)
            if isinstance(error, OSError):  # nobody has given it redis-py's name yet
                kind = RedisTimeoutError if isinstance(error, TimeoutError) else RedisConnectionError
                raise kind(str(error)) from error
            raise
        if isinstance(reply, ResponseError):
            self._failed(connection, reply)
            self._give_back(connection)
            raise reply
        self._free.append(connection)
        if self._waiting:
            self._wake()
        return reply

    def run(self, command: Command) -> Any:
        """Run one command, once, until its deadline. Raises what redis-py raises."""
        words, deadline, packed = command
        try:
            connection = self._free.pop()
        except IndexError:
            connection = self._make_or_wait(deadline or self.deadline())
        is_short = False
        try:
            if connection.made_at <= self.suspected_at or connection._sock is None:  # noqa: SLF001
                deadline = deadline or self.deadline()
                self._connect(connection, deadline)
            if deadline is not None:
                left = deadline - monotonic()
                if left < FIRST_PART * self.timeout:
                    is_short = True
                    _limit(connection, left, self.timeout)
            connection.send_packed_command((packed or pack(words),), check_health=False)
            return connection.read_response()
        except BaseException as error:
            self._failed(connection, error)
            raise
        finally:
            if is_short:
                _limit(connection, self.timeout, self.timeout)
            self._give_back(connection)

    def _failed(self, connection: Any, error: BaseException) -> None:
        if isinstance(error, (ReadOnlyError, RedisConnectionError)) or (
            isinstance(error, OSError) and not isinstance(error, TimeoutError)
        ):
            # A master that was demoted keeps its connections open: only a new one may find its successor.
            # And where one connection broke, others may have broken unnoticed.
            connection.disconnect()
            self.suspected_at = monotonic()
        elif not isinstance(error, (ResponseError, _NoTimeLeftError)):
            # Whatever is still under way on it belongs to nobody's next question.
            connection.disconnect()

    def _give_back(self, connection: Any) -> None:
        self._free.append(connection)
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        with self._given_back:
            self._given_back.notify()

    def _make_or_wait(self, deadline: float) -> Any:
        with self._given_back:
            self._waiting += 1
            try:
                while True:
                    # Looked at after `_waiting` was raised: who gives one back looks at that afterwards.
                    if self._free:
                        with contextlib.suppress(IndexError):
                            return self._free.pop()
                    if self._made < self.most:
                        self._made += 1
                        break
                    if not self._given_back.wait(deadline - monotonic()):
                        raise RedisTimeoutError(f"all {self.most} connections were busy for too long")
            finally:
                self._waiting -= 1
        try:
            return self._pool.make_connection()
        except BaseException:
            self._made -= 1
            raise

    def _connect(self, connection: Any, deadline: float) -> None:
        # Each connection is closed by whoever has it in hand.
        if connection.made_at <= self.suspected_at:
            connection.disconnect()
        give_up_at.set(deadline)
        connection.connect()


class _NoTimeLeftError(RedisTimeoutError):
    pass


def _limit(connection: Any, seconds: float, timeout: float) -> None:
    if seconds < LAST_PART * timeout:
        # The connection was made for nothing now, and is there for the next question.
        raise _NoTimeLeftError(f"no time left of {timeout} seconds")
    sock = connection._sock  # noqa: SLF001 - redis-py has no other way to say it for one answer
    if sock is not None:
        sock.settimeout(seconds)


_from_pools: WeakKeyDictionary[ConnectionPool, dict[tuple[float, float], Link]] = WeakKeyDictionary()
_from_async_pools: WeakKeyDictionary[Any, dict[tuple[float, float], Link | ClusterLink]] = WeakKeyDictionary()
_from_clusters: WeakKeyDictionary[Any, dict[tuple[float, float], ClusterLink]] = WeakKeyDictionary()
_from_urls: dict[tuple[str, float, float], Link] = {}


def link_to(
    redis: RedisLike,
    timeout: float,
    retry_interval: float,
) -> Link | ClusterLink:
    """Return the link for a user's client or URL. Does no I/O.

    None means the URL in SHAREDBREAKER_REDIS_URL, else in REDIS_URL, else localhost. Every wait ends
    after ``timeout`` seconds; ``retry_interval`` is the guard's.
    """
    if redis is None or isinstance(redis, str):
        where = "redis"
        if redis is None:
            redis, where = url_from_environment()
        return _link_to_url(redis, where, timeout, retry_interval)
    if isinstance(redis, (RedisCluster, AsyncRedisCluster)):
        clusters = _from_clusters.setdefault(redis, {})
        if (timeout, retry_interval) not in clusters:
            clusters[timeout, retry_interval] = ClusterLink(redis, timeout, retry_interval)
        return clusters[timeout, retry_interval]
    pool = getattr(redis, "connection_pool", None)
    if isinstance(redis, AsyncRedis):
        twins = _from_async_pools.setdefault(pool, {})
        if (timeout, retry_interval) not in twins:
            twins[timeout, retry_interval] = link_to(client_for_threads(redis), timeout, retry_interval)
        return twins[timeout, retry_interval]
    if not isinstance(redis, Redis) or not isinstance(pool, ConnectionPool):
        raise SettingsError(
            "redis must be a redis.Redis or redis.RedisCluster client or a URL (redis://, rediss:// or "
            f"unix://), not a {type(redis).__module__}.{type(redis).__qualname__}"
        )
    links = _from_pools.setdefault(pool, {})
    if (timeout, retry_interval) not in links:
        try:
            ours = _like(pool, timeout)
        except (ValueError, TypeError):
            raise SettingsError(
                "redis is a client with settings that no connection takes: look at its host, port and db"
            ) from None
        links[timeout, retry_interval] = Link(ours, _most_of(pool), timeout, retry_interval)
    return links[timeout, retry_interval]


def _link_to_url(url: str, where: str, timeout: float, retry_interval: float) -> Link:
    link = _from_urls.get((url, timeout, retry_interval))
    if link is None:
        try:
            pool = pool_of(url)
            link = Link(_like(pool, timeout), _most_of(pool), timeout, retry_interval)
        except (ValueError, TypeError):
            raise refusal_of(where) from None
        _from_urls[url, timeout, retry_interval] = link
    return link


def _like(pool: ConnectionPool, timeout: float) -> ConnectionPool:
    settings: dict[str, Any] = {
        name: value for name, value in pool.connection_kwargs.items() if name not in _NOT_OURS
    }
    settings.update(
        retry=Retry(NoBackoff(), 0),
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        decode_responses=False,
        encoding="utf-8",
        health_check_interval=0,
        max_connections=2**31,  # ours to count: redis-py goes on counting those that are long gone
        **_without_notifications(),
    )
    if isinstance(pool, SentinelConnectionPool):
        sentinel_pool = SentinelConnectionPool(
            pool.service_name, Sentinels(pool.sentinel_manager), is_master=pool.is_master, **settings
        )
        sentinel_pool.connection_class = bounded(sentinel_pool.connection_class)
        return sentinel_pool
    # Refuses an option that does not exist, where it enters.
    pool.connection_class(**{name: value for name, value in settings.items() if name != "max_connections"})
    return ConnectionPool(connection_class=bounded(pool.connection_class), **settings)


def _most_of(pool: ConnectionPool) -> int:
    return min(pool.max_connections, MOST_CONNECTIONS)


def _without_notifications() -> dict[str, Any]:
    # From redis-py 7 on, a server's maintenance notice may lengthen a connection's timeouts.
    try:
        from redis.maint_notifications import MaintNotificationsConfig  # noqa: PLC0415
    except ImportError:
        return {}
    return {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}
