"""Cases SB-076 and SB-077: a call that ran raises its own error; a rejection tells enough, keeps nothing."""

from __future__ import annotations

import gc
import logging
import pickle
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from circuit_in_redis import (
    NAME,
    OPEN_MS,
    CircuitInRedis,
    ServiceDownError,
    be_rejected,
    new_breaker,
    trip_and_wait,
)
from sharedbreaker import CircuitBreaker, CircuitBreakerError, CircuitState, circuit_breaker
from sharedbreaker.demo.redis_server import RedisServer

LONG = 3600.0
SECRETS = ("sing of my cat Hodge", "AIzaSyNotAKey")

Run = Callable[[CircuitBreaker, Callable[[], Any]], Any]


def by_call(breaker: CircuitBreaker, service: Callable[[], Any]) -> Any:
    return breaker.call(service)


def by_decorator(breaker: CircuitBreaker, service: Callable[[], Any]) -> Any:
    return circuit_breaker(breaker)(service)()


def in_a_block(breaker: CircuitBreaker, service: Callable[[], Any]) -> Any:
    with breaker:
        return service()


class Failing:
    """A service that raises one and the same error each time, and counts how often it ran."""

    def __init__(self) -> None:
        self.runs = 0
        self.cause = KeyError("row 7")
        self.error = ServiceDownError("503", {"retry": False})
        self.meanwhile: Callable[[], Any] = lambda: None

    def service(self) -> Any:
        self.runs += 1
        self.meanwhile()
        raise self.error.with_traceback(None) from self.cause

    def check(self, run: Run, breaker: CircuitBreaker) -> None:
        with pytest.raises(ServiceDownError) as caught:
            run(breaker, self.service)
        error = caught.value
        assert error is self.error
        assert error.args == ("503", {"retry": False})
        assert error.__cause__ is self.cause
        assert error.__context__ is None
        assert traceback.extract_tb(error.__traceback__)[-1].name == "service"


@pytest.mark.parametrize("run", [by_call, by_decorator, in_a_block])
@pytest.mark.parametrize("max_staleness", [0.0, LONG], ids=["strict", "stale"])
def test_sb076_the_call_that_opens_the_circuit_raises_its_own_error(
    redis: Redis, run: Run, max_staleness: float
) -> None:
    """The third failure is raised as the first was, and only a call that was not made is a rejection."""
    breaker = new_breaker(redis, max_staleness=max_staleness)
    failing = Failing()
    for _ in range(3):
        failing.check(run, breaker)
    assert CircuitInRedis(redis).field("state") == "open"
    with pytest.raises(CircuitBreakerError):
        run(breaker, failing.service)

    assert failing.runs == 3


@pytest.mark.parametrize("run", [by_call, by_decorator, in_a_block])
@pytest.mark.parametrize("max_staleness", [0.0, LONG], ids=["strict", "stale"])
def test_sb076_a_probe_that_fails_raises_its_own_error(redis: Redis, run: Run, max_staleness: float) -> None:
    """It opens the circuit again, and its caller hears what the service said."""
    circuit = trip_and_wait(new_breaker(redis), redis)
    breaker = new_breaker(redis, max_staleness=max_staleness)
    failing = Failing()
    failing.check(run, breaker)

    assert circuit.transitions()["half_open_to_open"] == 1
    assert failing.runs == 1


@pytest.mark.parametrize("max_staleness", [0.0, LONG], ids=["strict", "stale"])
def test_sb076_an_outage_of_redis_does_not_replace_the_error(max_staleness: float) -> None:
    """Where Redis dies during a call that would open the circuit, its caller gets the service's own error."""
    with RedisServer() as server:
        breaker = new_breaker(server.url, max_staleness=max_staleness, failure_threshold=2)
        failing = Failing()
        failing.check(by_call, breaker)
        failing.meanwhile = server.stop
        failing.check(by_call, breaker)

    assert failing.runs == 2


class Prompt:
    """What a user asked, and the whole request with it."""

    def __init__(self) -> None:
        self.text = SECRETS[0]
        self.request = bytearray(1_000_000)


class LeakyError(ServiceDownError):
    """As SDKs' errors do, it tells everything and holds the request."""

    def __init__(self, prompt: Prompt) -> None:
        super().__init__(f"503 for {prompt.text!r}, asked with key={SECRETS[1]}")
        self.request = prompt


def fail_for(breaker: CircuitBreaker) -> weakref.ref[Prompt]:
    """Fail until the circuit is open, and let go of everything but one weak reference."""
    prompt = Prompt()

    def ask() -> Any:
        raise LeakyError(prompt)

    for _ in range(3):
        try:
            breaker.call(ask)
        except LeakyError:
            continue
        raise AssertionError("the call did not fail")
    return weakref.ref(prompt)


def rejection_of(breaker: CircuitBreaker) -> CircuitBreakerError:
    try:
        breaker.call(lambda: None)
    except CircuitBreakerError as rejection:
        return rejection
    raise AssertionError("the call was not rejected")


def everything_in(redis: Redis) -> str:
    kept: list[Any] = []
    for key in redis.scan_iter():
        read: dict[str, Callable[[Any], Any]] = {
            "hash": redis.hgetall,
            "stream": redis.xrange,
            "set": redis.smembers,
            "string": redis.get,
            "zset": lambda key: redis.zrange(key, 0, -1),
        }
        kept += [key, read[str(redis.type(key))](key)]
    return str(kept)


@pytest.mark.parametrize("max_staleness", [0.0, LONG], ids=["strict", "stale"])
def test_sb077_a_rejection_tells_what_a_caller_needs(redis: Redis, max_staleness: float) -> None:
    """Which circuit, its state, why, and for how long; what failed last is in Redis, by its class."""
    breaker = new_breaker(redis, max_staleness=max_staleness)
    fail_for(breaker)
    rejection = be_rejected(breaker)

    assert (rejection.name, rejection.state, rejection.why) == (NAME, CircuitState.OPEN, "open")
    assert rejection.retry_after is not None
    assert 0 < rejection.retry_after <= OPEN_MS / 1000
    assert NAME in str(rejection)
    assert "try again in" in str(rejection)
    assert CircuitInRedis(redis).field("last_failure_type") == "LeakyError"


@pytest.mark.parametrize("max_staleness", [0.0, LONG], ids=["strict", "stale"])
def test_sb077_a_rejection_drags_no_old_error_along(redis: Redis, max_staleness: float) -> None:
    """It is raised from nothing, and neither it nor the breaker keeps the failure, or its request, alive."""
    breaker = new_breaker(redis, max_staleness=max_staleness)
    request = fail_for(breaker)
    rejection = rejection_of(breaker)
    gc.collect()

    assert request() is None
    assert rejection.__cause__ is None
    assert rejection.__context__ is None


@pytest.mark.parametrize("max_staleness", [0.0, LONG], ids=["strict", "stale"])
def test_sb077_nothing_of_a_request_is_kept_or_told(
    redis: Redis, caplog: pytest.LogCaptureFixture, max_staleness: float
) -> None:
    """No prompt and no key is in Redis, in any figure, in the log or in the rejection."""
    caplog.set_level(logging.DEBUG)
    breaker = new_breaker(redis, max_staleness=max_staleness)
    fail_for(breaker)
    rejection = rejection_of(breaker)
    told = [
        everything_in(redis),
        str(breaker.get_metrics()),
        str(breaker.get_state()),
        breaker.export_prometheus_metrics(),
        caplog.text,
        str(rejection),
        repr(rejection),
        str(pickle.dumps(rejection)),
    ]

    assert "LeakyError" in told[0]
    assert "LeakyError" in caplog.text
    assert not [text for text in told for secret in SECRETS if secret in text]
