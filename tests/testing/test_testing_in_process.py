"""Circuits that need no Redis: what they are true to, and where they end."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from either_breaker import NAME, SETTINGS, Breaker, MakeBreaker, admit, call, metrics, state
from either_breaker import in_process as in_process
from either_breaker import in_redis as in_redis
from either_breaker import kind as kind
from redis import Redis

from guarded_calls import BadRequestError, ServiceDownError
from sharedbreaker import (
    AsyncCircuitBreaker,
    CircuitBreaker,
    CircuitBreakerError,
    Outcome,
    TransitionNotice,
    circuit_breaker,
)
from sharedbreaker.circuit.rules import Circuit
from sharedbreaker.store.link import Link
from sharedbreaker.store.listener import Listener
from sharedbreaker.testing import InProcessCircuits, elapse, end_open_period, held_open, let_through, trip

DOWN, WRONG = ServiceDownError("503"), BadRequestError("400")
MOMENTS = {"last_state_change", "last_failure_time", "opened_at", "open_until", "uptime_seconds"}


def test_a_life_is_the_same_in_redis(in_process: MakeBreaker, in_redis: MakeBreaker) -> None:
    """Whatever a circuit goes through, every figure but the moments is what Redis would say."""
    lives = [life(make) for make in (in_process, in_redis)]
    assert lives[0] == lives[1]
    assert {figures["state"] for figures in lives[0]} == {"closed", "open", "half_open"}


def life(make: MakeBreaker) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []

    def tell(breaker: Breaker, *became: str) -> None:
        figures = {name: value for name, value in metrics(breaker).items() if name not in MOMENTS}
        told.append({**figures, "became": became})

    breaker = make()
    tell(breaker)
    tell(breaker, *(call(breaker, error) for error in (DOWN, None, WRONG, DOWN, DOWN, DOWN, None)))
    end_open_period(breaker)
    tell(breaker, call(breaker), call(breaker, DOWN), call(breaker))
    elapse(breaker, 600)
    tell(breaker, call(breaker), call(breaker, WRONG))
    tell(breaker, call(breaker))
    admit(breaker)
    elapse(breaker, 400)
    with held_open(breaker, 5):
        tell(breaker, call(breaker))
    with let_through(breaker):
        tell(breaker, *(call(breaker, DOWN) for _ in range(4)))
    other = make(failure_threshold=1)
    tell(breaker)
    tell(other, call(other, DOWN), call(breaker))
    return told


def test_no_call_reaches_redis(in_process: MakeBreaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked of a Redis or heard from one, whatever is done."""
    asked: list[object] = []
    monkeypatch.setattr(Link, "run", lambda _link, command: asked.append(command))
    monkeypatch.setattr(Link, "ask", lambda _link, packed: asked.append(packed))
    monkeypatch.setattr(Listener, "listen_for", lambda _listener, store: asked.append(store))
    for settings in ({}, {"max_staleness": 1, "push": True}):
        life(lambda settings=settings, **more: in_process(**settings, **more))
    assert asked == []


def test_names_and_kinds_share_as_in_redis() -> None:
    """One name is one circuit for threads and for event loops; another prefix is another circuit."""
    with InProcessCircuits() as circuits:
        threads = circuits.take(CircuitBreaker(**SETTINGS))
        loops = circuits.take(AsyncCircuitBreaker(**SETTINGS))
        others = circuits.take(CircuitBreaker(**SETTINGS, prefix="elsewhere"))
        trip(threads)
        assert [call(breaker) for breaker in (threads, loops, others)] == ["open", "open", "done"]


def test_two_of_them_share_nothing() -> None:
    """What one test did is not there for the next."""
    breaker = CircuitBreaker(**SETTINGS)
    with InProcessCircuits() as circuits:
        trip(circuits.take(breaker))
    with InProcessCircuits() as circuits:
        assert call(circuits.take(breaker)) == "done"


def test_breakers_go_back_to_redis(kind: type[Breaker], redis: Redis) -> None:
    """After the block the breaker is where it was, and its circuit in Redis knows of nothing."""
    breaker = kind(redis=redis, **SETTINGS)
    call(breaker, DOWN)
    with InProcessCircuits() as circuits:
        assert circuits.take(breaker) is breaker
        assert metrics(breaker)["failed_calls"] == 0
        trip(breaker)
    assert (state(breaker), metrics(breaker)["failed_calls"]) == ("closed", 1)
    assert redis.hget(f"sharedbreaker:{{{NAME}}}", "failed_calls") == "1"


def test_what_was_held_back_stays(redis: Redis) -> None:
    """Results that were not written yet when the breaker was taken go to Redis, and none of the test's."""
    breaker = CircuitBreaker(redis=redis, max_staleness=600, **SETTINGS)
    for _ in range(3):
        call(breaker)
    with InProcessCircuits() as circuits:
        circuits.take(breaker)
        for _ in range(7):
            call(breaker)
        assert breaker.unwritten_calls == 7
        assert metrics(breaker)["successful_calls"] == 0
    assert metrics(breaker)["successful_calls"] + breaker.unwritten_calls == 3


def test_release_may_be_called_again() -> None:
    """A fixture and a block may both end it; a breaker that was taken twice goes all the way back."""
    breaker = CircuitBreaker(**SETTINGS)
    before = breaker._store
    circuits = InProcessCircuits()
    circuits.take(circuits.take(breaker))
    trip(breaker)
    circuits.release()
    circuits.release()
    assert breaker._store is before
    assert call(circuits.take(breaker)) == "done"
    circuits.release()


def test_decorated_functions_go_where_the_breaker_goes() -> None:
    """A function that was decorated at import needs no second decoration."""
    breaker = CircuitBreaker(redis="redis://nowhere.invalid", **SETTINGS)

    @circuit_breaker(breaker)
    def ask() -> str:
        return "an answer"

    with InProcessCircuits() as circuits:
        trip(circuits.take(breaker))
        with pytest.raises(CircuitBreakerError):
            ask()


def test_listeners_hear_of_it(in_process: MakeBreaker) -> None:
    """Whoever listened before the breaker was taken, and whoever listens since, is told."""
    breaker = CircuitBreaker(**SETTINGS)
    heard: list[TransitionNotice] = []
    breaker.on_transition(heard.append)
    with InProcessCircuits() as circuits:
        circuits.take(breaker)
        breaker.on_transition(heard.append)
        trip(breaker, DOWN)
    assert [(notice.transition, notice.exception) for notice in heard] == [
        ("closed_to_open", "ServiceDownError")
    ] * 2


def test_an_outage_of_redis_is_no_news(redis: Redis) -> None:
    """A breaker that had lost its Redis decides by its circuit in process, at once."""
    breaker = CircuitBreaker(redis="redis://127.0.0.1:1", on_redis_error="reject", **SETTINGS)
    assert call(breaker) == "redis_away"
    with InProcessCircuits() as circuits:
        circuits.take(breaker)
        assert call(breaker) == "done"
        assert breaker.redis_available
    assert call(breaker) == "redis_away"


def test_threads_take_turns() -> None:
    """While one thread has the circuit in hand, a call in another waits for it."""
    with InProcessCircuits() as circuits:
        breaker = circuits.take(CircuitBreaker(**SETTINGS))
        (place,) = circuits._places.values()
        thread = threading.Thread(target=call, args=(breaker,))
        with place.lock:
            thread.start()
            thread.join(0.05)
            assert thread.is_alive()
        thread.join()
        assert metrics(breaker)["successful_calls"] == 1


def test_a_call_that_is_interrupted_leaves_no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """An admission whose answer never came is withdrawn, as Redis would; a probe gives its place back."""

    def interrupted(*arguments: Any) -> None:
        admitted(*arguments)
        raise KeyboardInterrupt

    admitted = Circuit.admit
    with InProcessCircuits() as circuits:
        closed = circuits.take(CircuitBreaker(**SETTINGS))
        tried = circuits.take(CircuitBreaker(**{**SETTINGS, "name": "tried", "half_open_max_calls": 1}))
        trip(tried)
        end_open_period(tried)
        with monkeypatch.context() as patch:
            patch.setattr(Circuit, "admit", interrupted)
            for breaker in (closed, tried):
                with pytest.raises(KeyboardInterrupt):
                    breaker.admit()
        for breaker in (closed, tried):
            breaker._store.settle_at_exit()
            assert metrics(breaker)["calls_in_flight"] == 0
            assert call(breaker) == "done"


def test_a_cancelled_call_is_released() -> None:
    """A task that is given up frees its lease and says nothing of the service."""

    async def give_up(breaker: AsyncCircuitBreaker) -> None:
        task = asyncio.create_task(breaker.call(asyncio.sleep, 60))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with InProcessCircuits() as circuits:
        breaker = circuits.take(AsyncCircuitBreaker(**SETTINGS))
        asyncio.run(give_up(breaker))
        breaker._store.settle_at_exit()
        seen = metrics(breaker)
    assert (seen["released_calls"], seen["calls_in_flight"], seen["total_calls"]) == (1, 0, 0)


def test_both_halves_of_a_call() -> None:
    """`admit` and `report` are a call here as well, and a second report counts for nothing."""
    with InProcessCircuits() as circuits:
        breaker = circuits.take(CircuitBreaker(**SETTINGS))
        admission = breaker.admit()
        for _ in range(2):
            breaker.report(admission, Outcome.FAILURE)
        assert metrics(breaker)["failed_calls"] == 1
