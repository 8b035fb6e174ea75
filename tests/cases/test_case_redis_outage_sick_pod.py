"""One pod with a broken network beside healthy ones: SB-064."""

from __future__ import annotations

from typing import Any

import pytest
from case_pods import Pod, pods
from redis import Redis

from circuit_in_redis import CircuitInRedis
from sharedbreaker import Operator
from sharedbreaker.demo.redis_server import RedisServer

HEALTHY = 3
HALF_OF_FOUR = {"failure_threshold": None, "failure_rate": {"minimum_calls": 4}}
STALENESSES = pytest.mark.parametrize("max_staleness", [0, 3600], ids=["strict", "stale"])


def call_in_turns(sick: Pod, healthy: list[Pod], rounds: int) -> None:
    """Each healthy pod succeeds several times for each failure of the sick one."""
    for _ in range(rounds):
        assert sick.ask("fail") == "failure"
        for pod in healthy:
            for _ in range(3):
                assert pod.ask("succeed") == "done"


def test_sb064_successes_of_the_others_keep_it_closed(redis: Redis, redis_server: RedisServer) -> None:
    """By default failures count in a row over the fleet: a pod that fails alone opens nothing."""
    with pods(1 + HEALTHY, redis_server.url) as (sick, *healthy):
        call_in_turns(sick, healthy, 5)
        fields = CircuitInRedis(redis).fields()

    assert fields["state"] == "closed"
    assert fields["failed_calls"] == "5"


@STALENESSES
@pytest.mark.parametrize("rule", [{"failure_threshold": 3}, HALF_OF_FOUR], ids=["in a row", "rate"])
def test_sb064_failures_of_one_process_alone_open_nothing_where_two_are_asked_for(
    redis: Redis, redis_server: RedisServer, rule: dict[str, Any], max_staleness: float
) -> None:
    """With `minimum_reporters` no number of failures of one process opens; the first of a second one does."""
    settings = {**rule, "minimum_reporters": 2, "max_staleness": max_staleness}
    with pods(2, redis_server.url, **settings) as (sick, other):
        for _ in range(8):
            assert sick.ask("fail") == "failure"
        assert CircuitInRedis(redis).field("state") == "closed"
        assert other.ask("fail") == "failure"

        assert CircuitInRedis(redis).field("state") == "open"


def test_sb064_who_fails_alone_is_named(redis: Redis, redis_server: RedisServer) -> None:
    """Type, moment and process of the last failure are in Redis, and so is whose failures stand alone."""
    with pods(1, redis_server.url, minimum_reporters=2) as (sick,):
        for _ in range(4):
            sick.ask("fail")
        metrics = Operator("orders", redis=redis_server.url).snapshot().metrics_dict()

    assert metrics["last_failure_type"] == "ServiceDownError"
    assert metrics["last_failure_time"] is not None
    assert metrics["failure_reporters"] == [metrics["last_failure_by"]]
    assert CircuitInRedis(redis).field("last_failure_by") == metrics["last_failure_by"]
