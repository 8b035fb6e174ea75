"""What docs/coming-from/purgatory.md says, with both libraries at work."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import purgatory
import pytest
from coming_from_page import ComingFromPage, Shop, what_becomes_of
from purgatory.domain.model import OpenedState
from redis import Redis

import sharedbreaker
from sharedbreaker import CircuitBreaker, CircuitBreakerError, circuit_breaker
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.testing import elapse, end_open_period, trip


def theirs(**settings: Any) -> Any:
    return purgatory.SyncCircuitBreakerFactory(**settings)


@contextmanager
def block_of(breaker: Any) -> Iterator[None]:
    """A block under the breaker, whosever it is."""
    guard = breaker.get_breaker("orders") if hasattr(breaker, "get_breaker") else breaker
    with guard:
        yield


def call(breaker: Any, error: BaseException | None = None) -> None:
    with suppress(Exception), block_of(breaker):
        if error is not None:
            raise error


def state(breaker: Any) -> str:
    if isinstance(breaker, CircuitBreaker):
        return str(breaker.get_state()["state"])
    return str(breaker.get_breaker("orders").context.state)


def their_open_period_ends(factory: Any) -> None:
    context = factory.get_breaker("orders").context
    context._state.opened_at -= context.ttl


def test_before_and_after(redis_server: RedisServer, redis: Redis) -> None:
    """Both pieces of code do the same while the shop is up, for a wrong item, and once it is down."""
    for which in ("before", "after"):
        shop = Shop()
        label = ComingFromPage("purgatory").run(which, redis_server, ask_shop=shop.ask)["label"]
        assert what_becomes_of(label, "tea", "nothing") == ["3 EUR", "ValueError"]
        shop.is_down = True
        assert what_becomes_of(label, *["tea"] * 3) == ["ConnectionError"] * 3
        assert (what_becomes_of(label, "tea"), shop.asked) == (["ask us"], 5)


def test_threads_share_it_too(redis_server: RedisServer, redis: Redis) -> None:
    """Without async, purgatory cannot use Redis at all; ours can."""
    factory = theirs(uow=purgatory.SyncRedisUnitOfWork(redis_server.url))
    with pytest.warns(RuntimeWarning, match="never awaited"), pytest.raises(TypeError):
        factory.get_breaker("orders")
    trip(CircuitBreaker(name="orders", redis=redis))
    assert state(CircuitBreaker(name="orders", redis=redis)) == "open"


def test_the_defaults(redis: Redis) -> None:
    """Half a minute is a minute."""
    factory = theirs()
    settings = CircuitBreaker(name="orders", redis=redis).settings
    assert (factory.default_ttl, factory.default_threshold) == (30, 5)
    assert (settings.timeout, settings.failure_threshold) == (60, 5)


def test_two_successes_close(redis: Redis) -> None:
    """After the open period one success closes purgatory, and two close ours."""
    their, ours = theirs(default_threshold=1), CircuitBreaker(1, name="orders", redis=redis)
    for breaker in (their, ours):
        call(breaker, ConnectionError())
    their_open_period_ends(their)
    end_open_period(ours)
    for breaker in (their, ours):
        call(breaker)
    assert (state(their), state(ours)) == ("closed", "half_open")


def test_what_does_not_count_changes_no_count(redis: Redis) -> None:
    """An excluded exception is a success to purgatory and ends a row of failures; ours ignores it."""
    their = theirs(default_threshold=3, exclude=[ValueError])
    ours = CircuitBreaker(3, expected_exception=ConnectionError, name="orders", redis=redis)
    for breaker in (their, ours):
        for error in (ConnectionError(), ConnectionError(), ValueError(), ConnectionError()):
            call(breaker, error)
    assert (state(their), state(ours)) == ("closed", "open")


def test_what_counts_by_a_function(redis: Redis) -> None:
    """A pair of a class and a function is one function, which says what counts and not what does not."""
    their = theirs(default_threshold=1, exclude=[(OSError, lambda error: error.errno != 5)])
    ours = CircuitBreaker(1, name="orders", redis=redis, expected_exception=is_failure)
    for breaker in (their, ours):
        call(breaker, OSError(2, "no such file"))
    assert (state(their), state(ours)) == ("closed", "closed")
    for breaker in (their, ours):
        call(breaker, OSError(5, "I/O"))
    assert (state(their), state(ours)) == ("opened", "open")


def is_failure(error: Exception) -> bool:
    return not isinstance(error, OSError) or error.errno == 5


def test_a_rejection_has_a_public_name(redis: Redis) -> None:
    """The error of purgatory is a state of its model with a sentence; ours says when to come back."""
    their, ours = theirs(default_threshold=1), CircuitBreaker(1, name="orders", redis=redis)
    for breaker in (their, ours):
        call(breaker, ConnectionError())
    assert "OpenedState" not in purgatory.__all__
    with pytest.raises(OpenedState, match="Circuit orders is open"), block_of(their):
        pass
    with pytest.raises(CircuitBreakerError) as caught, block_of(ours):
        pass
    assert caught.value.retry_after == pytest.approx(60, abs=30)


def test_late_results_decide_nothing(redis: Redis) -> None:
    """A call from before an outage that fails after it counts in purgatory; in ours it is only tallied."""
    their, ours = theirs(default_threshold=2), CircuitBreaker(2, 60, 1, name="orders", redis=redis)

    def outage_and_recovery(breaker: Any, end: Callable[[Any], None]) -> None:
        with suppress(ConnectionError), block_of(breaker):
            for _ in range(2):
                call(breaker, ConnectionError())
            end(breaker)
            call(breaker)
            raise ConnectionError

    outage_and_recovery(their, their_open_period_ends)
    outage_and_recovery(ours, end_open_period)
    assert (state(their), their.get_breaker("orders").context.failure_count) == ("closed", 1)
    seen = ours.get_metrics()
    assert (seen["state"], seen["current_failure_count"], seen["late_results"]) == ("closed", 0, 1)


def test_a_worker_with_a_wrong_clock_does_no_harm(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the time is over, the worker's clock says in purgatory, and Redis' in ours."""
    their = theirs(default_threshold=1, default_ttl=60)
    ours = CircuitBreaker(1, 60, name="orders", redis=redis)
    for breaker in (their, ours):
        call(breaker, ConnectionError())
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 70)
    with block_of(their):
        pass
    with pytest.raises(CircuitBreakerError), block_of(ours):
        pass


def test_streams_are_watched_to_their_end(redis: Redis) -> None:
    """A stream that fails is a success to purgatory; ours counts how it ended."""

    def stream() -> Iterator[int]:
        yield 1
        raise ConnectionError

    their, ours = theirs(default_threshold=1), CircuitBreaker(1, name="orders", redis=redis)
    for guarded in (their("orders")(stream), circuit_breaker(ours)(stream)):
        with pytest.raises(ConnectionError):
            list(guarded())
    assert (state(their), state(ours)) == ("closed", "open")


def test_any_redis_py(redis: Redis) -> None:
    """The extra of purgatory stops before redis-py 6; ours has no upper bound."""
    their = [line for line in importlib.metadata.requires("purgatory") or [] if line.startswith("redis")]
    ours = [line for line in importlib.metadata.requires("sharedbreaker") or [] if line.startswith("redis")]
    assert ["<6" in line for line in their] == [True]
    assert ours == ["redis>=5.0.1"]


def test_by_hand(redis: Redis) -> None:
    """There is nothing in purgatory to open or close a circuit with; ours is held and let go."""
    assert not [name for name in dir(theirs()) if "open" in name or "close" in name or "reset" in name]
    ours = CircuitBreaker(name="orders", redis=redis)
    ours.force_open("moving the shop")
    elapse(ours, 3600)
    with pytest.raises(CircuitBreakerError), block_of(ours):
        pass
    ours.force_close()
    with block_of(ours):
        pass


def test_no_factory(redis: Redis) -> None:
    """A breaker is made once, by its constructor, and has its settings for all its calls."""
    assert not [name for name in sharedbreaker.__all__ if "Factory" in name]
    with pytest.raises(TypeError):
        CircuitBreaker(name="orders", redis=redis).call(sorted, [2, 1], exclude=[ValueError])  # type: ignore[arg-type]


def test_no_hooks_on_failures(redis: Redis) -> None:
    """Four kinds of event are one: the transition."""
    told: list[str] = []
    their, ours = theirs(default_threshold=2), CircuitBreaker(2, name="orders", redis=redis)
    their.add_listener(lambda _name, kind, _event: told.append(kind))
    ours.on_transition(lambda notice: told.append(notice.transition))
    for _ in range(2):
        call(their, ConnectionError())
    assert told == ["circuit_breaker_created", "failed", "failed", "state_changed"]
    told.clear()
    for _ in range(2):
        call(ours, ConnectionError())
    assert told == ["closed_to_open"]


def test_no_other_storage() -> None:
    """There is Redis, and nothing to derive from."""
    with pytest.raises(sharedbreaker.SettingsError, match="redis must be"):
        CircuitBreaker(name="orders", redis=purgatory.SyncInMemoryUnitOfWork())
