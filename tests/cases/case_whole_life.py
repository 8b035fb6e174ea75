"""A circuit's whole life, and all that it leaves in Redis, byte by byte."""

from __future__ import annotations

import re
from typing import Any

from circuit_in_redis import NAME, OPEN_MS, CircuitInRedis, be_ignored, be_rejected, fail, succeed
from sharedbreaker import CircuitBreaker
from sharedbreaker.demo.redis_server import RedisServer

REASON = "Wartung für fünf € и 五"
WHO = "Zoë"
OF_A_MOMENT = re.compile(rb"epoch|.*_at|.*_until|.*_time|.*_change|.*_by|request")
"""Fields that differ from one life to the next."""
MASKED = b"*"


def live(breaker: CircuitBreaker, circuit: CircuitInRedis) -> None:
    """Trip, reject, probe, close, fall back, hold, disable, enable and let go."""
    succeed(breaker)
    be_ignored(breaker)
    fail(breaker, 3)
    be_rejected(breaker)
    circuit.elapse(OPEN_MS)
    succeed(breaker)
    assert circuit.field("state") == "half_open"
    fail(breaker)
    assert circuit.field("state") == "open"
    circuit.elapse(OPEN_MS)
    succeed(breaker, 2)
    breaker.force_open(REASON, who=WHO)
    assert be_rejected(breaker).why == "held_open"
    breaker.disable(REASON, who=WHO)
    fail(breaker)
    breaker.enable(who=WHO)
    breaker.force_close(who=WHO)


def left_in(server: RedisServer, name: str = NAME) -> dict[bytes, Any]:
    """Every key of the circuit as bytes, without what differs from one life to the next."""
    raw: Any = server.client()
    key = f"sharedbreaker:{{{name}}}".encode()
    fields = {field: _masked(field, value) for field, value in raw.hgetall(key).items()}
    events = [
        {field: _masked(field, value) for field, value in event.items()}
        for _, event in raw.xrange(key + b":events")
    ]
    keys = sorted(raw.scan_iter())
    raw.close()
    return {b"keys": keys, b"fields": fields, b"events": events}


def _masked(field: bytes, value: bytes) -> bytes:
    return MASKED if OF_A_MOMENT.fullmatch(field) else value
