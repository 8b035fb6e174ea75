"""Where a client leads, taken over to a client of the other kind: for threads, or for event loops."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

import redis.asyncio as redis_asyncio
from redis import ConnectionPool, Redis
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelConnectionPool
from redis.connection import Connection as SyncConnection
from redis.connection import SSLConnection as SyncSSLConnection
from redis.connection import UnixDomainSocketConnection as SyncUnixDomainSocketConnection
from redis.sentinel import Sentinel as SyncSentinel
from redis.sentinel import SentinelConnectionPool

# They are of one kind of client alone, or decide how it behaves, which is our business.
_OF_ONE_KIND = (
    "redis_connect_func", "parser_class", "retry", "event_dispatcher", "encoder_class", "command_packer",
    "maint_notifications_config", "maint_notifications_pool_handler",
    "oss_cluster_maint_notifications_handler",
    "himport_registry", "orig_host_address", "orig_socket_timeout", "orig_socket_connect_timeout",
    "retry_on_timeout", "retry_on_error", "connection_pool",
)  # fmt: skip

_SYNC_CLASSES: tuple[tuple[type[Any], type[Any]], ...] = (
    (SSLConnection, SyncSSLConnection),
    (UnixDomainSocketConnection, SyncUnixDomainSocketConnection),
)


def settings_for(connection_class: type[Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a connection's ``settings`` that a connection of another class takes as well."""
    taken = {
        name
        for base in connection_class.__mro__
        if "__init__" in vars(base)
        for name in signature(vars(base)["__init__"]).parameters
    }
    return {name: value for name, value in settings.items() if name in taken and name not in _OF_ONE_KIND}


def client_for_threads(client: redis_asyncio.Redis) -> Redis:
    """Return a client for threads that leads where one for event loops does. Does no I/O."""
    return Redis(connection_pool=_pool_for_threads(client.connection_pool))


def cluster_settings_for_threads(cluster: AsyncRedisCluster) -> dict[str, Any]:
    """Return what a Cluster's client for threads is made with, to lead where ``cluster`` does."""
    is_tls = issubclass(cluster.connection_kwargs["connection_class"], SSLConnection)
    settings = settings_for(SyncSSLConnection if is_tls else SyncConnection, cluster.connection_kwargs)
    return {**settings, "ssl": True} if is_tls else settings


def _pool_for_threads(pool: Any) -> ConnectionPool:
    kind = next((ours for theirs, ours in _SYNC_CLASSES if issubclass(pool.connection_class, theirs)), None)
    connection_class = kind or SyncConnection
    settings = settings_for(connection_class, pool.connection_kwargs)
    if isinstance(pool, AsyncSentinelConnectionPool):
        manager = pool.sentinel_manager
        sentinels = [client.connection_pool.connection_kwargs for client in manager.sentinels]
        login = settings_for(SyncConnection, sentinels[0])
        login = {name: value for name, value in login.items() if name not in {"host", "port", "db"}}
        return SentinelConnectionPool(
            pool.service_name,
            SyncSentinel(
                [(sentinel["host"], sentinel["port"]) for sentinel in sentinels],
                manager.min_other_sentinels,
                sentinel_kwargs=login,
            ),
            is_master=pool.is_master,
            ssl=connection_class is SyncSSLConnection,
            **{name: value for name, value in settings.items() if name not in {"host", "port"}},
        )
    return ConnectionPool(connection_class=connection_class, max_connections=pool.max_connections, **settings)
