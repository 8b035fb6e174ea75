"""What the tests of the core share: a small breaker, and its circuit as Redis holds it."""

from __future__ import annotations

from typing import Any, cast

from redis import Redis

from breaker_kinds import make_breaker
from guarded_calls import (
    BadRequestError as BadRequestError,
)
from guarded_calls import (
    ServiceDownError as ServiceDownError,
)
from guarded_calls import (
    bad_request as bad_request,
)
from guarded_calls import (
    be_ignored as be_ignored,
)
from guarded_calls import (
    be_rejected as be_rejected,
)
from guarded_calls import (
    fail as fail,
)
from guarded_calls import (
    service_down as service_down,
)
from guarded_calls import (
    succeed as succeed,
)
from guarded_calls import (
    work as work,
)
from sharedbreaker import CircuitBreaker

NAME = "orders"
OPEN_MS = 60_000
PROBE_MS = 20_000
LEASE_MS = 40_000
OUTCOME_TALLIES = ("successful_calls", "failed_calls", "rejected_calls", "ignored_calls")
TALLIES = (*OUTCOME_TALLIES, "released_calls", "lost_calls", "late_results")
TRANSITIONS = (
    "closed_to_open",
    "open_to_half_open",
    "half_open_to_closed",
    "half_open_to_open",
    "open_to_closed",
)


def new_breaker(redis: Redis | str | None, **settings: Any) -> CircuitBreaker:
    """A breaker with thresholds that are quickly reached and times that no test reaches by itself."""
    defaults: dict[str, Any] = {
        "name": NAME,
        "failure_threshold": 3,
        "success_threshold": 2,
        "timeout": OPEN_MS / 1000,
        "probe_timeout": PROBE_MS / 1000,
        "lease_timeout": LEASE_MS / 1000,
        "expected_exception": ServiceDownError,
        "redis_timeout": 5,
    }
    return make_breaker(redis=redis, **{**defaults, **settings})


class CircuitInRedis:
    """One circuit's keys, as somebody with redis-cli sees and edits them."""

    def __init__(self, redis: Redis, name: str = NAME, prefix: str = "sharedbreaker") -> None:
        self.redis = redis
        self.key = f"{prefix}:{{{name}}}"
        self.leases_key = f"{self.key}:leases"
        self.events_key = f"{self.key}:events"
        self.registry_key = f"{prefix}:breakers"

    def fields(self) -> dict[str, str]:
        return cast("dict[str, str]", self.redis.hgetall(self.key))

    def field(self, name: str) -> str | None:
        return cast("str | None", self.redis.hget(self.key, name))

    def number(self, name: str) -> int:
        return int(self.fields()[name])

    def numbers(self, *names: str) -> dict[str, int]:
        fields = self.fields()
        return {name: int(fields[name]) for name in names}

    def set(self, **fields: str | int) -> None:
        """HSET by hand."""
        self.redis.hset(self.key, mapping={name: str(value) for name, value in fields.items()})

    def drop(self, *fields: str) -> None:
        """HDEL by hand."""
        self.redis.hdel(self.key, *fields)

    def keep_only(self, field: str) -> None:
        """HDEL everything else by hand."""
        self.drop(*(name for name in self.fields() if name != field))

    def tallies(self) -> dict[str, int]:
        return self.numbers(*TALLIES)

    def transitions(self) -> dict[str, int]:
        """The transitions that were tallied at all."""
        return {name: count for name, count in self.numbers(*TRANSITIONS).items() if count}

    def state_and_counts(self) -> dict[str, str]:
        """Everything that decides."""
        fields = self.fields()
        names = ("state", "mode", "epoch", "failure_count", "success_count", "opened_at", "open_until")
        return {name: fields[name] for name in names if name in fields}

    def leases(self) -> dict[str, float]:
        """Token to the moment when its lease ends."""
        pairs = cast("list[tuple[str, float]]", self.redis.zrange(self.leases_key, 0, -1, withscores=True))
        return dict(pairs)

    def events(self) -> list[dict[str, str]]:
        entries = cast("list[tuple[str, dict[str, str]]]", self.redis.xrange(self.events_key))
        return [fields for _, fields in entries]

    def moves(self) -> list[str]:
        """The transitions that the events tell, in their order."""
        return [
            f"{event['from']}_to_{event['to']}" for event in self.events() if event["from"] != event["to"]
        ]

    def now_ms(self) -> int:
        seconds, microseconds = self.redis.time()
        return seconds * 1000 + microseconds // 1000

    def elapse(self, milliseconds: int) -> None:
        """Let time pass for this circuit, by moving its stored moments into the past."""
        fields = self.fields()
        for name in ("opened_at", "open_until", "reclaim_at"):
            if fields.get(name):
                self.redis.hincrby(self.key, name, -milliseconds)
        for token in self.leases():
            self.redis.zincrby(self.leases_key, -milliseconds, token)

    def end_open_period(self) -> None:
        """Let the open period be over, and no lease any older."""
        self.set(opened_at=self.now_ms() - OPEN_MS, open_until=self.now_ms())


def trip(breaker: CircuitBreaker, redis: Redis, name: str = NAME) -> CircuitInRedis:
    """Open the closed circuit of `breaker` by failures."""
    circuit = CircuitInRedis(redis, name)
    fail(breaker, int(breaker.get_metrics()["failure_threshold"]))
    assert circuit.field("state") == "open"
    return circuit


def trip_and_wait(breaker: CircuitBreaker, redis: Redis, name: str = NAME) -> CircuitInRedis:
    """Open the circuit and let its open period pass: the next call is the first probe."""
    circuit = trip(breaker, redis, name)
    circuit.elapse(circuit.number("open_timeout_ms"))
    return circuit
