"""What docs/coming-from/pybreaker.md says, with both libraries at work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pybreaker
import pytest
from coming_from_page import ComingFromPage, Shop, what_becomes_of
from redis import Redis

import sharedbreaker
from sharedbreaker import CircuitBreaker, CircuitBreakerError, CircuitState, circuit_breaker
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.testing import elapse, end_open_period, trip


def fail(error: BaseException) -> Any:
    raise error


def call(breaker: Any, error: BaseException | None = None) -> None:
    with suppress(Exception):
        breaker.call(fail, error) if error else breaker.call(len, "")


def their_open_period_ends(breaker: Any) -> None:
    breaker._state_storage._opened_at -= timedelta(seconds=breaker.reset_timeout)


def test_before_and_after(redis_server: RedisServer, redis: Redis) -> None:
    """Both pieces of code do the same while the shop is up, for a wrong item, and once it is down."""
    for which in ("before", "after"):
        shop = Shop()
        label = ComingFromPage("pybreaker").run(which, redis_server, ask_shop=shop.ask)["label"]
        assert what_becomes_of(label, "tea", "nothing") == ["3 EUR", "no such thing"]
        shop.is_down = True
        what_becomes_of(label, *["tea"] * 3)
        assert (what_becomes_of(label, "tea"), shop.asked) == (["ask us"], 5)


def test_calls_run_side_by_side(redis: Redis) -> None:
    """Two calls meet in the guarded function under ours, and never under pybreaker."""

    def meet(breaker: Any, patience: float) -> bool:
        barrier = threading.Barrier(2)

        def call() -> None:
            with suppress(threading.BrokenBarrierError):
                breaker.call(barrier.wait, patience)

        threads = [threading.Thread(target=call) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return not barrier.broken

    assert meet(CircuitBreaker(name="side", redis=redis, redis_timeout=5), patience=30)
    assert not meet(pybreaker.CircuitBreaker(), patience=0.1)


def test_the_call_that_trips_has_its_own_error(redis: Redis) -> None:
    """The error of pybreaker takes the place of the service's; ours never does."""
    with pytest.raises(pybreaker.CircuitBreakerError):
        pybreaker.CircuitBreaker(fail_max=1).call(fail, ConnectionError())
    with pytest.raises(ConnectionError):
        CircuitBreaker(1, name="trips", redis=redis).call(fail, ConnectionError())


def test_two_successes_close(redis: Redis) -> None:
    """After the open period one success closes pybreaker by default, and two close ours."""
    peer = pybreaker.CircuitBreaker(fail_max=1)
    ours = CircuitBreaker(1, name="recovers", redis=redis)
    for breaker in (peer, ours):
        call(breaker, ConnectionError())
    their_open_period_ends(peer)
    end_open_period(ours)
    for breaker in (peer, ours):
        call(breaker)
    assert (peer.current_state, ours.get_state()["state"]) == ("closed", "half_open")
    call(ours)
    assert ours.get_state()["state"] == "closed"


def test_what_does_not_count_changes_no_count(redis: Redis) -> None:
    """An excluded exception is a success to pybreaker and ends a row of failures; to ours it says nothing."""
    peer = pybreaker.CircuitBreaker(fail_max=3, exclude=[ValueError])
    ours = CircuitBreaker(3, expected_exception=ConnectionError, name="excluding", redis=redis)
    for breaker in (peer, ours):
        for error in (ConnectionError(), ConnectionError(), ValueError(), ConnectionError()):
            call(breaker, error)
    assert (peer.current_state, ours.get_state()["state"]) == ("closed", "open")


def test_giving_up_is_no_failure(redis: Redis) -> None:
    """A KeyboardInterrupt opens pybreaker; ours releases the call."""
    peer = pybreaker.CircuitBreaker(fail_max=1, throw_new_error_on_trip=False)
    ours = CircuitBreaker(1, name="interrupted", redis=redis)
    for breaker in (peer, ours):
        with pytest.raises(KeyboardInterrupt):
            breaker.call(fail, KeyboardInterrupt())
    assert (peer.current_state, ours.get_state()["state"]) == ("open", "closed")
    assert ours.get_metrics()["released_calls"] == 1


def test_coroutine_functions_are_watched_or_refused(redis: Redis) -> None:
    """A coroutine function fails for ever under pybreaker and counts as successes; ours refuses it."""

    async def ask() -> None:
        raise ConnectionError

    peer = pybreaker.CircuitBreaker(fail_max=1)
    for _ in range(3):
        with pytest.raises(ConnectionError):
            asyncio.run(peer(ask)())
    assert peer.current_state == "closed"
    with pytest.raises(TypeError, match="AsyncCircuitBreaker"):
        circuit_breaker(CircuitBreaker(name="coroutines", redis=redis))(ask)


def test_closing_a_stream_early_is_no_failure(redis: Redis) -> None:
    """Whoever has read enough trips pybreaker; under ours the call is released."""

    def stream() -> Generator[int, None, None]:
        yield from range(9)

    peer = pybreaker.CircuitBreaker(fail_max=1, throw_new_error_on_trip=False)
    ours = CircuitBreaker(1, name="streams", redis=redis)
    for breaker in (peer, ours):
        pieces = breaker.call(stream)
        next(pieces)
        with suppress(GeneratorExit, RuntimeError):
            pieces.close()
    assert (peer.current_state, ours.get_state()["state"]) == ("open", "closed")


def test_opened_by_hand_stays_open(redis: Redis) -> None:
    """`open()` is over after `reset_timeout`; `force_open()` is over when somebody says so."""
    peer = pybreaker.CircuitBreaker(reset_timeout=60)
    ours = CircuitBreaker(timeout=60, name="by_hand", redis=redis)
    peer.open()
    ours.force_open("moving the service")
    their_open_period_ends(peer)
    elapse(ours, 60)
    assert peer.call(len, "tea") == 3
    with pytest.raises(CircuitBreakerError):
        ours.call(len, "tea")
    ours.force_close()
    assert ours.call(len, "tea") == 3


def test_a_rejection_says_when_to_come_back(redis: Redis) -> None:
    """The error of pybreaker is a sentence; ours has the seconds, the state and the name beside it."""
    peer = pybreaker.CircuitBreaker(fail_max=1)
    call(peer, ConnectionError())
    with pytest.raises(pybreaker.CircuitBreakerError) as theirs:
        peer.call(len, "tea")
    assert vars(theirs.value) == {}
    ours = CircuitBreaker(1, 60, name="when", redis=redis)
    trip(ours)
    with pytest.raises(CircuitBreakerError) as caught:
        ours.call(len, "tea")
    assert (caught.value.name, caught.value.state) == ("when", CircuitState.OPEN)
    assert caught.value.retry_after == pytest.approx(60, abs=30)


def test_no_listeners_of_calls(redis: Redis) -> None:
    """Ours tells of transitions; of calls it tells one observer per process, after they ended."""
    ours = CircuitBreaker(1, name="listeners", redis=redis)
    assert not hasattr(ours, "add_listener")
    notices: list[str] = []
    ends: list[tuple[str, str]] = []
    ours.on_transition(lambda notice: notices.append(notice.transition))
    from sharedbreaker.observation import observe_calls

    end = observe_calls(lambda name, outcome, _seconds: ends.append((name, outcome.value)))
    try:
        call(ours, ConnectionError())
    finally:
        end()
    assert (notices, ends) == (["closed_to_open"], [("listeners", "failure")])


def test_no_half_open_by_hand(redis: Redis) -> None:
    """A hold with an end comes to half-open by itself when it is over."""
    ours = CircuitBreaker(name="half", redis=redis)
    assert not hasattr(ours, "half_open")
    ours.force_open(seconds=5)
    elapse(ours, 5)
    assert ours.call(len, "tea") == 3
    assert ours.get_state()["state"] == "half_open"


def test_no_other_storage() -> None:
    """There is Redis, and nothing to derive from."""
    assert not [name for name in sharedbreaker.__all__ if "Storage" in name]
    with pytest.raises(sharedbreaker.SettingsError, match="redis must be"):
        CircuitBreaker(name="storage", redis=pybreaker.CircuitMemoryStorage("closed"))


def test_no_setters(redis: Redis) -> None:
    """A setting is not changed on the object; it is tuned for the fleet."""
    ours = CircuitBreaker(5, name="setters", redis=redis)
    ours.call(len, "tea")
    assert not hasattr(ours, "failure_threshold")
    sharedbreaker.Operator("setters", redis=redis).tune({"failure_threshold": 9}, reason="noisy")
    assert ours.get_metrics()["failure_threshold"] == 9


def test_no_tornado() -> None:
    """Coroutines are asyncio's."""
    assert not hasattr(CircuitBreaker, "call_async")
