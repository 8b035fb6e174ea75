"""Batches whose answer is lost: told again, and counted once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from cutting_proxy import CuttingProxy
from redis import Redis
from stale_circuits import LONG, STALENESS, hold, stale_breaker, unwritten, wait_until

from circuit_in_redis import CircuitInRedis, be_rejected, fail, succeed
from sharedbreaker import CircuitBreaker
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.refresh import Batch, read_refresh, refresh_arguments
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.store.keys import keys_of
from sharedbreaker.store.scripts import script


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[CuttingProxy]:
    with CuttingProxy(redis_server.port) as proxy:
        yield proxy


def _breaker(proxy: CuttingProxy, max_staleness: float = LONG) -> CircuitBreaker:
    return stale_breaker(proxy.url, max_staleness, redis_timeout=2, redis_retry_interval=0.05)


@pytest.mark.parametrize("before", [False, True], ids=["reply", "request"])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_failure_and_what_it_takes_along_count_once(
    redis: Redis, proxy: CuttingProxy, before: bool, times: int
) -> None:
    """A batch whose answer is lost, once or again and again, is counted once."""
    breaker = _breaker(proxy)
    hold(breaker, 4)
    proxy.lose_reply_to("refresh", times, before=before)
    fail(breaker)
    circuit = CircuitInRedis(redis)
    wait_until(lambda: proxy.lost >= min(times, 2), "answers are lost")
    proxy.lose_reply_to("refresh", 0)
    wait_until(lambda: unwritten(breaker) == 0 and circuit.number("failed_calls"), "all is written")
    assert circuit.numbers("successful_calls", "failed_calls", "failure_count", "late_results") == {
        "successful_calls": 5,
        "failed_calls": 1,
        "failure_count": 1,
        "late_results": 0,
    }


def test_a_batch_of_the_timer_counts_once(redis: Redis, proxy: CuttingProxy) -> None:
    """The timer's batch is told again, without a further call, when its answers were lost."""
    breaker = _breaker(proxy, STALENESS)
    succeed(breaker)
    wait_until(lambda: unwritten(breaker) == 0, "the first is written")
    proxy.lose_reply_to("refresh", 3, before=True)
    succeed(breaker, 6)
    circuit = CircuitInRedis(redis)
    wait_until(lambda: circuit.number("successful_calls") == 7, "the timer tells it again", 5)
    assert circuit.number("late_results") == 0


def test_a_lost_failure_waits_for_no_view_to_grow_old(redis: Redis, proxy: CuttingProxy) -> None:
    """A failure that could not be told is told again soon, without a further call, whatever the staleness."""
    breaker = _breaker(proxy, LONG)
    hold(breaker, 2)
    proxy.lose_reply_to("refresh", 2, before=True)
    fail(breaker)
    circuit = CircuitInRedis(redis)
    wait_until(lambda: circuit.number("failed_calls") == 1, "the failure is told again", 5)
    assert circuit.number("successful_calls") == 3


def test_many_lost_answers_count_exactly(redis: Redis, proxy: CuttingProxy) -> None:
    """Traffic over a connection that breaks again and again: each success and failure counts once."""
    breaker = stale_breaker(
        proxy.url, 0.02, redis_timeout=0.3, redis_retry_interval=0.02, failure_threshold=10**6
    )
    successes = failures = 0
    for turn in range(12):
        proxy.lose_reply_to("refresh", 1 + turn % 3, before=turn % 2 == 0)
        succeed(breaker, 10)
        fail(breaker, 2)
        succeed(breaker, 5)
        successes += 15
        failures += 2
    proxy.lose_reply_to("refresh", 0)

    def all_written() -> bool:
        succeed(breaker)
        nonlocal successes
        successes += 1
        return unwritten(breaker) == 0

    wait_until(all_written, "all is written")
    wait_until(lambda: unwritten(breaker) == 0, "all is written")
    assert CircuitInRedis(redis).numbers("successful_calls", "failed_calls") == {
        "successful_calls": successes,
        "failed_calls": failures,
    }


def _tell(redis: Redis, batch: Batch, told: str = "") -> str:
    keys = keys_of("orders").of_script
    words = refresh_arguments(batch, told, "tester")
    reply: Any = redis.eval(script("refresh").source, len(keys), *keys, *words)
    return read_refresh(reply).verdict


def test_a_late_second_arrival_counts_nothing(redis: Redis) -> None:
    """A copy of a batch that the network hands over later, even after further batches, changes nothing."""
    breaker = stale_breaker(redis, failure_threshold=10)
    fail(breaker)
    circuit = CircuitInRedis(redis)
    epoch = circuit.field("epoch") or ""
    batch = Batch("b1", epoch, {Outcome.SUCCESS: 3, Outcome.FAILURE: 1})
    assert _tell(redis, batch) == "counted"
    assert _tell(redis, Batch("b2", epoch, {Outcome.SUCCESS: 2})) == "counted"
    fields = circuit.fields()
    assert _tell(redis, batch) == "repeated"
    assert _tell(redis, batch, "b2") == "repeated"
    assert circuit.fields() == fields
    assert circuit.numbers("successful_calls", "failed_calls") == {"successful_calls": 5, "failed_calls": 2}


def test_a_batch_that_was_sent_twice_stays_known(redis: Redis, proxy: CuttingProxy) -> None:
    """The name of a batch that was sent twice stays in Redis, since its other copy may be under way still."""
    breaker = _breaker(proxy)
    hold(breaker, 1)
    proxy.lose_reply_to("refresh", 1)
    fail(breaker)
    names = set(redis.zrange("sharedbreaker:{orders}:batches", 0, -1))
    fail(breaker)
    assert names & set(redis.zrange("sharedbreaker:{orders}:batches", 0, -1))


def test_the_key_of_batches_stays_small(redis: Redis) -> None:
    """Batches that were answered are forgotten: a busy process keeps one or two names in Redis."""
    breaker = stale_breaker(redis, 0.005, failure_threshold=10**6)
    for _ in range(100):
        succeed(breaker)
        fail(breaker)
    assert redis.zcard("sharedbreaker:{orders}:batches") <= 3


def test_the_key_of_batches_stays_small_with_many_threads(redis: Redis) -> None:
    """So it is where eight threads tell their failures at once."""
    breaker = stale_breaker(redis, failure_threshold=10**6)
    threads = [threading.Thread(target=fail, args=(breaker, 50)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    fail(breaker, 3)
    circuit = CircuitInRedis(redis)
    assert circuit.number("failed_calls") == 403
    assert redis.zcard("sharedbreaker:{orders}:batches") <= 8 + 2


def test_a_view_is_not_renewed_by_an_answer_that_was_lost(redis: Redis, proxy: CuttingProxy) -> None:
    """Where the answer to a failure is lost for good, the process decides by itself with what it knows."""
    breaker = _breaker(proxy)
    hold(breaker, 2)
    proxy.lose_reply_to("refresh", 100)
    fail(breaker, 3)
    assert be_rejected(breaker).state.value == "open"
    proxy.lose_reply_to("refresh", 0)
    circuit = CircuitInRedis(redis)
    wait_until(lambda: unwritten(breaker) == 0 and circuit.number("failed_calls") == 3, "all is written")
    assert circuit.number("successful_calls") == 3
