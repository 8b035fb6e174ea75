"""What an error of redis-py means: Redis cannot be asked, or this circuit's keys cannot be used."""

from __future__ import annotations

import re

from redis.exceptions import AuthenticationError, InvalidResponse, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sharedbreaker.store.scripts import Script

# How Redis begins an answer that speaks of the server's condition and not of a key's. Scripts that run into
# it may get it as a plain error, whose text is all there is.
_SERVER_CONDITIONS = (
    "BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOAUTH", "NOPERM", "NOREPLICAS",
    "OOM", "READONLY", "TRYAGAIN", "UNKILLABLE", "WRONGPASS", "MOVED", "ASK",
)  # fmt: skip
# What Redis says while a connection is made, where nothing was asked about a circuit yet.
_NO_SUCH_DATABASE = "db index"
_LOGIN = ("NOAUTH", "WRONGPASS")
_TOO_OLD = ("unknown command", "unknown redis command", "non deterministic")
# As Redis words it, and as Valkey does.
_DENIED_IN_SCRIPT = ("can't run this command", "no permissions to run")
_LINE_OF_SCRIPT = re.compile(r"@user_script:(\d+)")
_COMMAND_IN_LUA = re.compile(r"redis\.p?call\('(\w+)'")
_DENIED_KEYS = ("access a key", "access at least one of the keys", "no permissions to access")


def hint_on(error: Exception, lua: Script | None) -> str:
    """Return what to do about ``error``, as the end of a message; empty where it says so itself."""
    line = _LINE_OF_SCRIPT.search(str(error))
    if lua is not None and line is not None and any(sign in str(error) for sign in _DENIED_IN_SCRIPT):
        # Redis says only where the script stood; the command is on that line.
        command = _COMMAND_IN_LUA.search(lua.source.splitlines()[int(line[1]) - 1])
        if command is not None:
            return f"; the user may not run {command[1]}"
    if type(error).__name__ in {"MovedError", "AskError"}:
        return "; this server is part of a Redis Cluster: hand in a redis.RedisCluster client"
    if any(sign in str(error).lower() for sign in _TOO_OLD):
        return "; sharedbreaker needs Redis 6.2, Valkey 8 or newer, with no command renamed"
    return _hint_on_address(error)


def _hint_on_address(error: Exception) -> str:
    if isinstance(error, AuthenticationError) or str(error).startswith(_LOGIN):
        return "; look at the user and the password in the URL"
    if isinstance(error, InvalidResponse):
        return "; what answers there is no Redis: look at the host and the port"
    if _NO_SUCH_DATABASE in str(error).lower():
        return "; look at the number of the database, with which the URL ends"
    return ""


def is_outage(error: Exception) -> bool:
    """Return whether ``error`` speaks of Redis as a whole, and not of this circuit's keys."""
    if isinstance(error, (RedisConnectionError, RedisTimeoutError, ReadOnlyError, InvalidResponse, OSError)):
        return True
    text = str(error)
    if _NO_SUCH_DATABASE in text.lower():
        return True
    if any(sign in text.lower() for sign in _DENIED_KEYS):
        return False
    if type(error).__name__ in {
        "AskError",
        "MasterDownError",
        "MovedError",
        "NoPermissionError",
        "OutOfMemoryError",
    }:
        return True
    return (
        text.startswith(_SERVER_CONDITIONS)
        or any(sign in text for sign in _DENIED_IN_SCRIPT)
        or "Cluster" in type(error).__name__
    )
