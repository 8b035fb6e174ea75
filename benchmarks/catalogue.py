"""Who is measured, where each keeps its state, and what about it is not like for like."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

OURS = "ours"
"""The environment that the harness itself runs in."""

FLOOR = "floor"
FLOOR_UNIX = "floor-unix"
FLOOR_UNPARSED = "floor-unparsed"
BARE = "bare"
BARE_ASYNC = "bare-async"
STRICT = "strict"
STALE = "stale"
STALE_PUSH = "stale-push"
ASYNC_STRICT = "async-strict"
ASYNC_STALE = "async-stale"
ASYNC_STALE_PUSH = "async-stale-push"
DEGRADED = "degraded"
PYBREAKER_MEMORY = "pybreaker-memory"
PYBREAKER_REDIS = "pybreaker-redis"
CIRCUITBREAKER = "circuitbreaker"
ASYNC_CIRCUITBREAKER = "async-circuitbreaker"

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
IN_MEMORY = "keeps its state in the process and shares nothing"
VIEW = "acts on a view up to 0.1 s old"
VIEW_WITH_PUSH = "acts on a view that is mended when something changes, else up to 2 s old"

_OUR_ENTRIES = (
    Entry(FLOOR, "floor: one EVALSHA, bare socket", "floor:Floor", keeps="nothing", in_fleet=True),
    Entry(FLOOR_UNPARSED, "floor: the same, its reply not parsed", "floor:UnparsedFloor", keeps="nothing"),
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
        unlike=VIEW_WITH_PUSH,
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
        ASYNC_STALE_PUSH,
        "sharedbreaker, async, max_staleness 2 s, push",
        "subjects.ours:AsyncSharedBreaker",
        keeps="view",
        is_async=True,
        options={"max_staleness": PUSH_STALENESS_SECONDS, "push": True},
        unlike=VIEW_WITH_PUSH,
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


def _memory_peer(key: str, adapter: str, *, unlike: str = "", **more: Any) -> Entry:
    unlike = f"{IN_MEMORY}; {unlike}" if unlike else IN_MEMORY
    return Entry(
        key, more.pop("label", key), f"subjects.{adapter}", PEERS, keeps="memory", unlike=unlike, **more
    )


def _redis_peer(key: str, adapter: str, **more: Any) -> Entry:
    return Entry(key, more.pop("label", key), f"subjects.{adapter}", PEERS, in_fleet=True, **more)


IN_A_ROW = "several commands, not atomic; no leases; counts failures in a row only"
_PEER_ENTRIES = (
    _memory_peer(CIRCUITBREAKER, "peer_circuitbreaker:LocalCircuitBreaker", unlike="no locks"),
    _memory_peer(
        "purgatory-memory",
        "peer_purgatory:Purgatory",
        label="purgatory, memory",
    ),
    _memory_peer(
        "nopanic-memory",
        "peer_nopanic:Nopanic",
        label="nopanic, memory",
        options={"storage": "memory"},
        unlike="counts a rate over a window",
    ),
    _memory_peer(
        "interlock-memory",
        "peer_interlock:Interlock",
        label="interlock-cb, memory",
        options={"storage": "memory"},
        unlike="counts a rate over a window, and how long calls take",
    ),
    _memory_peer(
        "aiobreaker-memory",
        "peer_aiobreaker:AioBreaker",
        label="aiobreaker, memory",
        options={"storage": "memory"},
    ),
    _memory_peer(
        PYBREAKER_MEMORY,
        "peer_pybreaker:PyBreaker",
        label="pybreaker, memory",
        options={"storage": "memory"},
        unlike="holds a lock while the function runs",
    ),
    _memory_peer("fluxgate", "peer_fluxgate:Fluxgate", unlike="no locks; measures how long calls take"),
    _memory_peer(
        ASYNC_CIRCUITBREAKER,
        "peer_circuitbreaker:AsyncLocalCircuitBreaker",
        label="circuitbreaker, async",
        is_async=True,
        unlike="no locks",
    ),
    _memory_peer("hyx", "peer_hyx:Hyx", label="hyx, async", is_async=True),
    _memory_peer(
        "asyncbreaker-memory",
        "peer_asyncbreaker:AsyncBreaker",
        label="asyncbreaker, async, memory",
        is_async=True,
        options={"storage": "memory"},
    ),
    Entry(
        "interlock-redis",
        "interlock-cb, Redis",
        "subjects.peer_interlock:Interlock",
        PEERS,
        keeps="view",
        options={"storage": "redis"},
        unlike="acts on a view up to 1 s old; counts per process, and shares only that the circuit opened",
    ),
    _redis_peer(
        PYBREAKER_REDIS,
        "peer_pybreaker:PyBreaker",
        label="pybreaker, Redis",
        options={"storage": "redis"},
        unlike=IN_A_ROW,
    ),
    _redis_peer(
        "aiobreaker-redis-storage",
        "peer_aiobreaker:AioBreaker",
        label="aiobreaker, Redis, blocking",
        options={"storage": "redis"},
        unlike=IN_A_ROW,
    ),
    _redis_peer(
        "nopanic-redis",
        "peer_nopanic:Nopanic",
        label="nopanic-redis",
        options={"storage": "redis"},
        unlike="two scripts, atomic; no leases, trusts the clocks of its callers; a rate over a window",
    ),
    _redis_peer(
        "c-breaker",
        "peer_c_breaker:CBreaker",
        label="c-breaker, Redis, window of 2 s",
        unlike="JSON that is read and written back; counts are lost between processes",
    ),
    _redis_peer(
        "async-nopanic-redis",
        "peer_nopanic:AsyncNopanic",
        label="nopanic-redis, async",
        is_async=True,
        unlike="two scripts, atomic; no leases, trusts the clocks of its callers; a rate over a window",
    ),
    _redis_peer(
        "asyncbreaker-redis",
        "peer_asyncbreaker:AsyncBreaker",
        label="asyncbreaker, async, Redis",
        is_async=True,
        options={"storage": "redis"},
        unlike=IN_A_ROW,
    ),
    _redis_peer(
        "purgatory-redis",
        "peer_purgatory:AsyncPurgatory",
        label="purgatory, async, Redis",
        is_async=True,
        unlike=IN_A_ROW,
    ),
    _redis_peer(
        "aiobreaker-redis",
        "peer_aiobreaker_redis:AioBreakerRedis",
        label="aiobreaker-redis, async",
        is_async=True,
        unlike="several commands, not atomic; no half-open; any success closes the circuit",
    ),
    _redis_peer(
        "circuit-breaker-box",
        "peer_circuit_breaker_box:CircuitBreakerBox",
        label="circuit-breaker-box, async, Redis",
        is_async=True,
        unlike="counts only failures that are retried, so a failing call runs twice; no half-open",
    ),
    _redis_peer(
        "ss-utils",
        "peer_ss_utils:SsUtils",
        label="ss-utils-circuit-breaker, async, Redis",
        is_async=True,
        unlike="several commands, not atomic; loses counts; over coredis 5",
    ),
)

CATALOGUE: dict[str, Entry] = {entry.key: entry for entry in (*_OUR_ENTRIES, *_PEER_ENTRIES)}
