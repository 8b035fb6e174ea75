"""What docs/coming-from/pybreaker.md says of several workers, with both libraries in a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

import pybreaker
import pytest
import redis as redis_py
from coming_from_page import peers_redis
from redis import Redis

from sharedbreaker import CircuitBreaker, CircuitBreakerError
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.testing import end_open_period, trip

NOWHERE = "redis://127.0.0.1:1"


@pytest.fixture
def theirs(redis_server: RedisServer) -> Iterator[Redis]:
    client = peers_redis(redis_server)
    yield client
    client.flushdb()
    client.close()


def shared(client: Redis, **settings: Any) -> Any:
    """What one worker makes."""
    storage = pybreaker.CircuitRedisStorage(pybreaker.STATE_CLOSED, client)
    return pybreaker.CircuitBreaker(state_storage=storage, **settings)


def fail(error: BaseException) -> Any:
    raise error


def call(breaker: Any, error: BaseException | None = None) -> None:
    with suppress(Exception):
        breaker.call(fail, error) if error else breaker.call(len, "")


def test_each_name_has_its_own_circuit(redis: Redis, theirs: Redis) -> None:
    """Two names in one Redis are one circuit to pybreaker, unless each has a namespace; two to ours."""
    shop, bank = (shared(theirs, name=name, fail_max=1) for name in ("shop", "bank"))
    call(shop, ConnectionError())
    assert bank.current_state == "open"
    ours, others = (CircuitBreaker(1, name=name, redis=redis) for name in ("shop", "bank"))
    call(ours, ConnectionError())
    assert (ours.get_state()["state"], others.get_state()["state"]) == ("open", "closed")


def test_no_trip_is_lost(redis: Redis, theirs: Redis) -> None:
    """Another worker's success may come between the steps of pybreaker's report; ours is one step."""

    class SuccessElsewhere(pybreaker.CircuitBreakerListener):  # type: ignore[misc]
        def failure(self, cb: Any, exc: BaseException) -> None:
            peers[1].call(len, "tea")

    peers = [shared(theirs, fail_max=1) for _ in range(2)]
    peers[0].add_listener(SuccessElsewhere())
    call(peers[0], ConnectionError())
    assert peers[0].current_state == "closed"
    ours = CircuitBreaker(1, name="lost", redis=redis)
    ours.call(len, "tea")
    before = scripts_run(redis)
    call(ours, ConnectionError())
    assert scripts_run(redis) - before == 2  # one admitted it, and one took its end
    assert ours.get_state()["state"] == "open"


def scripts_run(redis: Redis) -> int:
    stats: Any = redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"] for command in ("eval", "evalsha"))


def test_probes_are_counted_over_all_processes(redis: Redis, theirs: Redis) -> None:
    """While one worker's probe is under way, pybreaker lets in another's; ours as many as you say."""
    peers = [shared(theirs, fail_max=1, reset_timeout=0) for _ in range(2)]
    ours = [CircuitBreaker(1, name="probes", redis=redis, half_open_max_calls=1) for _ in range(2)]
    call(peers[0], ConnectionError())
    trip(ours[0])
    end_open_period(ours[0])
    assert peers[0].call(peers[1].call, len, "tea") == 3
    with ours[0], pytest.raises(CircuitBreakerError) as caught:
        ours[1].call(len, "tea")
    assert caught.value.why == "probes_busy"


def test_late_results_decide_nothing(redis: Redis, theirs: Redis) -> None:
    """A call from before an outage that fails after it counts in pybreaker; in ours it is only tallied."""
    peers = [shared(theirs, fail_max=2, reset_timeout=0) for _ in range(2)]
    ours = CircuitBreaker(2, 60, 1, name="late", redis=redis)

    def outage_and_recovery(breaker: Any, end: Callable[[], None]) -> None:
        for error in (ConnectionError(), ConnectionError()):
            call(breaker, error)
        end()
        call(breaker)
        raise ConnectionError

    with suppress(ConnectionError):
        peers[0].call(outage_and_recovery, peers[1], lambda: None)
    with suppress(ConnectionError):
        ours.call(outage_and_recovery, ours, lambda: end_open_period(ours))
    assert (peers[1].current_state, peers[1].fail_counter) == ("closed", 1)
    seen = ours.get_metrics()
    assert (seen["state"], seen["current_failure_count"], seen["late_results"]) == ("closed", 0, 1)


def test_a_worker_with_a_wrong_clock_does_no_harm(
    redis: Redis, theirs: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the time is over, the worker's clock says in pybreaker, and Redis' in ours."""
    peer = shared(theirs, fail_max=1, reset_timeout=60)
    ours = CircuitBreaker(1, 60, name="clocks", redis=redis)
    for breaker in (peer, ours):
        call(breaker, ConnectionError())

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(timezone.utc) + timedelta(seconds=70)

    monkeypatch.setattr(pybreaker, "datetime", Ahead)
    monkeypatch.setattr("time.time", lambda: Ahead.now().timestamp())
    assert peer.call(len, "tea") == 3
    with pytest.raises(CircuitBreakerError):
        ours.call(len, "tea")


def test_without_redis_each_process_goes_by_itself(theirs: Redis, redis: Redis) -> None:
    """Without Redis pybreaker cannot be made, and one that was never opens; ours does both."""
    with pytest.raises(redis_py.ConnectionError):
        shared(Redis.from_url(NOWHERE))
    peer = shared(theirs, fail_max=1)
    peer._state_storage._redis = Redis.from_url(NOWHERE)
    ours = CircuitBreaker(1, name="alone", redis=NOWHERE)
    for breaker in (peer, ours):
        call(breaker, ConnectionError())
    assert peer.call(len, "tea") == 3
    with pytest.raises(CircuitBreakerError):
        ours.call(len, "tea")


def test_any_client_will_do(redis_server: RedisServer, redis: Redis, theirs: Redis) -> None:
    """There a a client that decodes; ours takes it, and a URL, and an async client."""
    kwargs = theirs.connection_pool.connection_kwargs
    decoding = Redis(port=kwargs["port"], db=kwargs["db"], decode_responses=True)
    with decoding, pytest.raises(AttributeError):
        shared(decoding)
    for client in (redis, redis_server.url, redis_py.asyncio.Redis(port=redis_server.port)):
        assert CircuitBreaker(name="clients", redis=client).call(len, "tea") == 3
    assert redis.connection_pool.connection_kwargs["decode_responses"]
