"""Who is measured, where each keeps its state, and what about it is not like for like."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

OURS = "ours"
"""The environment that the harness itself runs in."""

FLOOR = "floor"
FLOOR_UNIX = "floor-unix"
BARE = "bare"
BARE_ASYNC = "bare-async"
STRICT = "strict"
STALE = "stale"
STALE_PUSH = "stale-push"
ASYNC_STRICT = "async-strict"
ASYNC_STALE = "async-stale"
DEGRADED = "degraded"
PYBREAKER_MEMORY = "pybreaker-memory"
PYBREAKER_REDIS = "pybreaker-redis"
CIRCUITBREAKER = "circuitbreaker"

STALENESS_SECONDS = 0.1
PUSH_STALENESS_SECONDS = 2.0


@dataclass(frozen=True)
class Entry:
    """One row of the tables.

    Args:
        key: how the command line and the results name it.
        label: how the tables name it.
        adapter: ``module:Class`` under ``benchmarks``.
        environment: which of ``environments`` it runs in.
        keeps: ``redis`` where each call asks Redis, ``view`` where most act on what was last known,
            ``memory`` where nothing is shared, ``nothing`` for what is no breaker.
        is_async: whether its calls are awaited.
        where: ``tcp``, ``unix`` or ``away`` (a port that nobody listens on).
        options: settings for the adapter.
        unlike: what makes the row not like for like; empty for nothing.
        in_fleet: whether it is run in many processes too.

    """

    key: str
    label: str
    adapter: str
    environment: str = OURS
    keeps: str = "redis"
    is_async: bool = False
    where: str = "tcp"
    options: dict[str, Any] = field(default_factory=dict)
    unlike: str = ""
    in_fleet: bool = False

    @property
    def is_breaker(self) -> bool:
        """Whether it can reject anything."""
        return self.keeps != "nothing"

    @property
    def is_peer(self) -> bool:
        """Whether it is somebody else's library."""
        return self.environment != OURS

    @property
    def speaks(self) -> bool:
        """Whether its calls reach a server at all, so that they can be counted there."""
        return self.where != "away" and (self.keeps in {"redis", "view"} or self.key.startswith(FLOOR))


PEERS = "peers"
PEERS_OLD_REDIS = "peers-redis5"
IN_MEMORY = "keeps its state in the process and shares nothing"
NO_LEASES = "several commands, not atomic; keeps no leases; counts in a row only"
VIEW = "acts on a view up to 0.1 s old"

_OUR_ENTRIES = (
    Entry(FLOOR, "floor: one EVALSHA, bare socket", "floor:Floor", keeps="nothing", in_fleet=True),
    Entry(FLOOR_UNIX, "floor: the same over a unix socket", "floor:Floor", keeps="nothing", where="unix"),
    Entry(BARE, "bare call", "floor:BareCall", keeps="nothing"),
    Entry(BARE_ASYNC, "bare await", "floor:BareAwait", keeps="nothing", is_async=True),
    Entry(STRICT, "sharedbreaker, strict", "subjects.ours:SharedBreaker", in_fleet=True),
    Entry("strict-unix", "sharedbreaker, strict, unix socket", "subjects.ours:SharedBreaker", where="unix"),
    Entry(
        STALE,
        "sharedbreaker, max_staleness 0.1 s",
        "subjects.ours:SharedBreaker",
        keeps="view",
        options={"max_staleness": STALENESS_SECONDS},
        unlike=VIEW,
        in_fleet=True,
    ),
    Entry(
        STALE_PUSH,
        "sharedbreaker, max_staleness 2 s, push",
        "subjects.ours:SharedBreaker",
        keeps="view",
        options={"max_staleness": PUSH_STALENESS_SECONDS, "push": True},
        unlike="acts on a view that is mended when something changes, and up to 2 s old otherwise",
    ),
    Entry(
        ASYNC_STRICT,
        "sharedbreaker, async, strict",
        "subjects.ours:AsyncSharedBreaker",
        is_async=True,
        in_fleet=True,
    ),
    Entry(
        ASYNC_STALE,
        "sharedbreaker, async, max_staleness 0.1 s",
        "subjects.ours:AsyncSharedBreaker",
        keeps="view",
        is_async=True,
        options={"max_staleness": STALENESS_SECONDS},
        unlike=VIEW,
    ),
    Entry(
        DEGRADED,
        "sharedbreaker, Redis away",
        "subjects.ours:SharedBreaker",
        keeps="memory",
        where="away",
        unlike="shares nothing until Redis is back; one call a second tries Redis",
    ),
)

_PEER_ENTRIES = (
    Entry(
        PYBREAKER_MEMORY,
        "pybreaker, memory",
        "subjects.peer_pybreaker:PyBreaker",
        environment=PEERS,
        keeps="memory",
        options={"storage": "memory"},
        unlike=IN_MEMORY,
    ),
    Entry(
        CIRCUITBREAKER,
        "circuitbreaker",
        "subjects.peer_circuitbreaker:LocalCircuitBreaker",
        environment=PEERS,
        keeps="memory",
        unlike=f"{IN_MEMORY}; no locks",
    ),
    Entry(
        PYBREAKER_REDIS,
        "pybreaker, Redis",
        "subjects.peer_pybreaker:PyBreaker",
        environment=PEERS,
        options={"storage": "redis"},
        unlike=NO_LEASES,
        in_fleet=True,
    ),
)

CATALOGUE: dict[str, Entry] = {entry.key: entry for entry in (*_OUR_ENTRIES, *_PEER_ENTRIES)}
