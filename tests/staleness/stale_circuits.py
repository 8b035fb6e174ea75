"""What the tests of a staleness share: breakers that act on views, and what a server was asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

from redis import Redis

from circuit_in_redis import new_breaker, succeed
from sharedbreaker import CircuitBreaker
from sharedbreaker.store.scripts import SCRIPTS, script

STALENESS = 0.2
"""For tests that see a view grow too old: seconds."""
LONG = 3600.0
"""For tests in which nothing may be told for its age."""
PATIENCE = 20.0
POLL_SECONDS = 0.005


def stale_breaker(redis: Redis | str | None, max_staleness: float = LONG, **settings: Any) -> CircuitBreaker:
    return new_breaker(redis, max_staleness=max_staleness, **settings)


def wait_until(holds: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"did not come about in {seconds} s: {what}"
        time.sleep(POLL_SECONDS)


def unwritten(breaker: CircuitBreaker) -> int:
    return int(breaker.get_metrics()["unwritten_calls"])


def hold(breaker: CircuitBreaker, times: int) -> None:
    """Have so many successes held back, after one that is written, as by the timer."""
    succeed(breaker)
    breaker._store.keep()
    assert unwritten(breaker) == 0
    succeed(breaker, times)


def scripts_run(redis: Redis) -> dict[str, int]:
    """How often the server ran a script since the last CONFIG RESETSTAT, by the command that ran it."""
    stats = cast("dict[str, dict[str, Any]]", redis.info("commandstats"))
    return {name: int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in ("evalsha", "eval")}


def number_of_scripts(redis: Redis) -> int:
    return sum(scripts_run(redis).values())


def commands_of_breakers(redis: Redis) -> int:
    """How many commands the server got, but for those of somebody who looks."""
    stats = cast("dict[str, dict[str, Any]]", redis.info("commandstats"))
    return sum(
        int(stat["calls"])
        for name, stat in stats.items()
        if name not in {"cmdstat_info", "cmdstat_config|resetstat"}
    )


def load_scripts(redis: Redis) -> None:
    """Let the server know all scripts, so that none is sent twice because it was unknown."""
    for name in SCRIPTS:
        redis.script_load(script(name).source)
