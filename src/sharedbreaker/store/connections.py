"""Our own connections to the user's Redis: bounded, never retried, and shared by the circuits of a process.

redis-py's clients may repeat a command whose answer did not come, and so apply a script twice; and they
may wait for as long as they please. So a client that is handed in tells only where Redis is and how to
log in there. It is never used and never changed.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from redis import BlockingConnectionPool, ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from sharedbreaker.circuit.errors import SettingsError

URL_VARIABLES = ("SHAREDBREAKER_REDIS_URL", "REDIS_URL")
DEFAULT_URL = "redis://localhost:6379/0"
SCHEMES = ("redis", "rediss", "unix")
MOST_CONNECTIONS = 64

# What redis-py's pools add to their settings for themselves, and for clients that behave otherwise than ours.
_NOT_OURS = (
    "connection_pool", "event_dispatcher", "himport_registry", "maint_notifications_config",
    "maint_notifications_pool_handler", "orig_host_address", "orig_socket_timeout",
    "orig_socket_connect_timeout", "cache", "cache_config", "retry_on_timeout", "retry_on_error",
)  # fmt: skip

_from_clients: WeakKeyDictionary[ConnectionPool, dict[float, Redis]] = WeakKeyDictionary()
_from_urls: dict[tuple[str, float], Redis] = {}


def connect(redis: Redis | str | None, timeout: float) -> Redis:
    """Return a client of our own for a user's client or URL. Does no I/O.

    None means the URL in SHAREDBREAKER_REDIS_URL, else in REDIS_URL, else localhost. Every wait of the
    client that is returned ends after ``timeout`` seconds.
    """
    if redis is None or isinstance(redis, str):
        where = "redis"
        if redis is None:
            redis, where = _url_from_environment()
        return _shared_by_url(redis, where, timeout)
    pool = getattr(redis, "connection_pool", None)
    if not isinstance(redis, Redis) or not isinstance(pool, ConnectionPool):
        raise SettingsError(
            "redis must be a redis.Redis client or a URL (redis://, rediss:// or unix://), "
            f"not a {type(redis).__module__}.{type(redis).__qualname__}"
        )
    ours = _from_clients.setdefault(pool, {})
    if timeout not in ours:
        ours[timeout] = _client(_like(pool, timeout))
    return ours[timeout]


def address(client: Redis) -> str:
    """Return where ``client`` connects to, for logs and errors: never with a password."""
    settings = client.connection_pool.connection_kwargs
    if "path" in settings:
        return f"unix:{settings['path']}"
    return f"{settings.get('host', '?')}:{settings.get('port', '?')}"


def _url_from_environment() -> tuple[str, str]:
    for variable in URL_VARIABLES:
        url = os.environ.get(variable, "").strip()
        if url:
            return url, variable
    return DEFAULT_URL, "redis"


def _shared_by_url(url: str, where: str, timeout: float) -> Redis:
    ours = _from_urls.get((url, timeout))
    if ours is None:
        try:
            known = urlsplit(url).scheme in SCHEMES
            ours = _client(_like(ConnectionPool.from_url(url), timeout)) if known else None
        except (ValueError, TypeError):
            ours = None
        if ours is None:
            # Not even a part of the URL is shown: a password may stand anywhere in a broken one.
            raise SettingsError(
                f"the URL in {where} cannot be read; it must look like redis://user:password@host:6379/0, "
                "rediss://... or unix:///path?db=0, with special characters in the password as %XX"
            ) from None
        _from_urls[url, timeout] = ours
    return ours


def _client(pool: ConnectionPool) -> Redis:
    return Redis(connection_pool=pool)


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
        **_without_notifications(),
    )
    # Refuses an option that does not exist, where it enters.
    pool.connection_class(**settings)
    if isinstance(pool, SentinelConnectionPool):
        return SentinelConnectionPool(
            pool.service_name, pool.sentinel_manager, is_master=pool.is_master, **settings
        )
    return BlockingConnectionPool(
        max_connections=min(pool.max_connections, MOST_CONNECTIONS),
        timeout=timeout,
        connection_class=pool.connection_class,
        **settings,
    )


def _without_notifications() -> dict[str, Any]:
    # From redis-py 7 on, a server's maintenance notice may lengthen a connection's timeouts.
    try:
        from redis.maint_notifications import MaintNotificationsConfig  # noqa: PLC0415
    except ImportError:
        return {}
    return {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}
