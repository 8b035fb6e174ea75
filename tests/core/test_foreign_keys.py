"""Keys of a wrong type where a circuit's should be: the call still runs, and the log names the key."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable

import pytest
from redis import Redis

from circuit_in_redis import BadRequestError, ServiceDownError, new_breaker, succeed, work
from sharedbreaker import SharedBreakerError

CIRCUIT = "sharedbreaker:{orders}"
FOREIGN_TYPES: dict[str, Callable[[Redis, str], object]] = {
    "string": lambda redis, key: redis.set(key, "foo"),
    "list": lambda redis, key: redis.rpush(key, "foo"),
    "set": lambda redis, key: redis.sadd(key, "foo"),
    "hash": lambda redis, key: redis.hset(key, "foo", "bar"),
    "sorted set": lambda redis, key: redis.zadd(key, {"foo": 1}),
}


def replace(redis: Redis, key: str, foreign_type: str) -> None:
    redis.delete(key)
    FOREIGN_TYPES[foreign_type](redis, key)


@pytest.mark.parametrize("first_call", [True, False], ids=["first call", "later call"])
@pytest.mark.parametrize("foreign_type", [name for name in FOREIGN_TYPES if name != "hash"])
def test_call_runs_although_its_hash_is_none(redis: Redis, foreign_type: str, *, first_call: bool) -> None:
    """Where the circuit's key holds another type, the result or the exception of the call is passed on."""
    breaker = new_breaker(redis, expected_exception=ServiceDownError)
    if not first_call:
        succeed(breaker)
    replace(redis, CIRCUIT, foreign_type)
    error = BadRequestError("400")

    def bad() -> None:
        raise error

    assert breaker.call(work) == "done"
    with pytest.raises(BadRequestError) as caught:
        breaker.call(bad)
    assert caught.value is error


@pytest.mark.parametrize("foreign_type", [name for name in FOREIGN_TYPES if name != "sorted set"])
def test_call_runs_although_its_leases_are_none(redis: Redis, foreign_type: str) -> None:
    """Where the leases' key holds another type, calls run."""
    breaker = new_breaker(redis)
    succeed(breaker)
    replace(redis, f"{CIRCUIT}:leases", foreign_type)

    succeed(breaker, 3)


@pytest.mark.parametrize("foreign_type", list(FOREIGN_TYPES))
def test_circuit_works_although_its_events_are_none(redis: Redis, foreign_type: str) -> None:
    """Where the events' key holds another type, the circuit opens and closes all the same."""
    breaker = new_breaker(redis)
    succeed(breaker)
    replace(redis, f"{CIRCUIT}:events", foreign_type)

    breaker.force_open()
    assert breaker.get_state()["state"] == "open"
    breaker.force_close()

    assert breaker.get_metrics()["state_transitions"]["closed_to_open"] == 1
    succeed(breaker)


@pytest.mark.parametrize("foreign_type", [name for name in FOREIGN_TYPES if name != "set"])
def test_call_runs_although_the_registry_is_none(
    redis: Redis, caplog: pytest.LogCaptureFixture, foreign_type: str
) -> None:
    """Where the registry's key holds another type, calls run, and the log names that key."""
    replace(redis, "sharedbreaker:breakers", foreign_type)

    succeed(new_breaker(redis), 3)

    assert "sharedbreaker:breakers" in caplog.text


@pytest.mark.parametrize("suffix", ["", ":leases", ":events"])
def test_log_names_the_key(redis: Redis, caplog: pytest.LogCaptureFixture, suffix: str) -> None:
    """The log says which key holds a wrong type."""
    breaker = new_breaker(redis)
    succeed(breaker)
    replace(redis, CIRCUIT + suffix, "string")
    caplog.set_level(logging.WARNING)

    breaker.call(work)
    with contextlib.suppress(SharedBreakerError):
        breaker.force_open()

    assert CIRCUIT + suffix in " ".join(record.getMessage() for record in caplog.records)


def test_circuit_works_again_when_the_foreign_key_is_gone(redis: Redis) -> None:
    """Once the key of a wrong type is deleted, calls are counted in Redis again."""
    breaker = new_breaker(redis, redis_retry_interval=0.01)
    succeed(breaker)
    replace(redis, CIRCUIT, "string")
    succeed(breaker)
    redis.delete(CIRCUIT)

    deadline = time.monotonic() + 20
    while not redis.exists(CIRCUIT):
        assert time.monotonic() < deadline, "the circuit did not come back"
        succeed(breaker)
