"""Spoken to directly: lua/settle.lua."""

from __future__ import annotations

import pytest
from redis import Redis
from spoken_scripts import declare, everything, speak

from circuit_in_redis import CircuitInRedis

TALLIES = ("successful_calls", "failed_calls", "rejected_calls", "ignored_calls", "released_calls")
COUNTS = ("1", "20", "300", "4000", "50000")

pytestmark = pytest.mark.sync_only("no breaker takes part")


def settle(redis: Redis, batch: str, *counts_and_tokens: str, away_ms: str = "1500") -> list[str]:
    return speak(redis, "settle", batch, "host:1", away_ms, *counts_and_tokens)


def test_event_tells_since_when_for_how_long_and_of_how_many_calls(redis: Redis) -> None:
    """Every kind of end is one of its calls, and the time away ended just now."""
    declare(redis)
    circuit = CircuitInRedis(redis)
    before = circuit.now_ms()

    assert settle(redis, "b1", *COUNTS) == ["settled"]

    event = circuit.events()[-1]
    assert (event["why"], event["who"], event["batch"]) == ("was_away", "host:1", "b1")
    assert (event["away_ms"], event["calls"]) == ("1500", "54321")
    assert before <= int(event["away_since"]) + 1500 <= circuit.now_ms()
    assert circuit.numbers(*TALLIES) == dict(zip(TALLIES, map(int, COUNTS), strict=True))


def test_batch_that_is_sent_again_is_added_once(redis: Redis) -> None:
    """The second sending changes not one byte."""
    declare(redis)
    settle(redis, "b1", *COUNTS)
    before = everything(redis)

    assert settle(redis, "b1", *COUNTS) == ["repeated"]
    assert everything(redis) == before


def test_admissions_that_nobody_learned_of_are_withdrawn(redis: Redis) -> None:
    """The lease of each named token is gone, as a call's, a probe's or an observed one's; others stay."""
    declare(redis)
    circuit = CircuitInRedis(redis)
    ends = circuit.now_ms() + 60_000
    leases = ("first", "probe:second", "observed:third", "other")
    redis.zadd(circuit.leases_key, dict.fromkeys(leases, ends))

    settle(redis, "b1", *COUNTS, "first", "second", "third")

    assert set(circuit.leases()) == {"other"}
