"""The demo's own client of Redis, for what the breakers do not show: events, a server's version and clock."""

from __future__ import annotations

from redis import Redis, SSLConnection
from redis.backoff import NoBackoff
from redis.retry import Retry

READ_SECONDS = 5.0
"""How long a look may take: nobody's call waits for it."""


def redis_at(url: str) -> Redis:
    """Return a client for ``url`` that never retries and waits for READ_SECONDS at most. Does no I/O."""
    return Redis.from_url(
        url,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=READ_SECONDS,
        socket_connect_timeout=READ_SECONDS,
    )


def address_of(client: Redis) -> str:
    """Return where ``client`` connects to, as it may be shown: never with a password."""
    settings = client.connection_pool.connection_kwargs
    if "path" in settings:
        return f"unix:{settings['path']}"
    return f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"


def redis_cli(client: Redis, *words: str) -> str:
    """Return a ``redis-cli`` command line for the Redis of ``client``; it asks for a password by itself."""
    settings = client.connection_pool.connection_kwargs
    if "path" in settings:
        options = ["-s", str(settings["path"])]
    else:
        options = ["-h", str(settings.get("host", "localhost")), "-p", str(settings.get("port", 6379))]
    if settings.get("db"):
        options += ["-n", str(settings["db"])]
    if issubclass(client.connection_pool.connection_class, SSLConnection):
        options.append("--tls")
    if settings.get("username"):
        options += ["--user", str(settings["username"])]
    if settings.get("password"):
        options.append("--askpass")
    return " ".join(["redis-cli", *options, *words])
