"""The address of Redis as a URL: what is refused in one before it leads astray."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from redis import ConnectionPool

from sharedbreaker.circuit.errors import SettingsError

_DATABASE = re.compile(r"/?[0-9]*/?")


def pool_of(url: str) -> ConnectionPool:
    """Return redis-py's pool for ``url``; raise ValueError or TypeError where it is not one of Redis."""
    parts = urlsplit(url)
    # redis-py skips what it does not understand. So a "#", "/" or "?" in a password, not written as %XX,
    # makes the login the host and the password's beginning its port: another server, and told in every log.
    if "#" in url:
        raise ValueError("a fragment leads nowhere")
    if parts.scheme in ("redis", "rediss"):
        is_path_right = _DATABASE.fullmatch(parts.path) is not None
    elif parts.scheme == "unix":
        is_path_right = bool(parts.path) and not parts.hostname
    else:
        raise ValueError("not a scheme of Redis")
    if not is_path_right:
        raise ValueError("the path is not where it belongs")
    if parts.query:
        parse_qs(parts.query, strict_parsing=True)
    return ConnectionPool.from_url(url)


def refusal_of(where: str) -> SettingsError:
    """Return the error for a URL in ``where`` that is not one of Redis."""
    # Not even a part of the URL is shown: a password may stand anywhere in a broken one.
    return SettingsError(
        f"the URL in {where} cannot be read; it must look like redis://user:password@host:6379/0, "
        "rediss://... or unix:///path?db=0, with special characters in the password as %XX. For Sentinel and "
        "for a Cluster hand in a client of redis-py instead"
    )
