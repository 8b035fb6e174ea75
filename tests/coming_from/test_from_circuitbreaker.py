"""What docs/coming-from/circuitbreaker.md says, with both libraries at work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack, suppress
from typing import Any

import circuitbreaker as peer
import pytest
from coming_from_page import ComingFromPage, Shop, what_becomes_of
from redis import Redis

import sharedbreaker
from sharedbreaker import (
    AsyncCircuitBreaker,
    CircuitBreaker,
    CircuitBreakerError,
    SettingsError,
    circuit_breaker,
)
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.testing import elapse, end_open_period, trip


def fail(error: BaseException) -> Any:
    raise error


def theirs(**settings: Any) -> Any:
    return peer.CircuitBreaker(**{"name": "orders", **settings})


def call(guarded: Callable[..., Any], error: BaseException | None = None) -> None:
    with suppress(Exception):
        guarded(fail, error) if error else guarded(len, "")


def guarded(breaker: Any) -> Callable[..., Any]:
    """A function under the breaker that calls what it is given."""

    def run(func: Callable[..., Any], *args: Any) -> Any:
        return func(*args)

    if isinstance(breaker, CircuitBreaker):
        return circuit_breaker(breaker)(run)
    decorated: Callable[..., Any] = breaker(run)
    return decorated


def their_open_period_ends(breaker: Any) -> None:
    breaker._opened -= breaker._recovery_timeout


def test_before_and_after(redis_server: RedisServer, redis: Redis) -> None:
    """Both pieces of code do the same while the shop is up, for a wrong item, and once it is down."""
    for which in ("before", "after"):
        shop = Shop()
        label = ComingFromPage("circuitbreaker").run(which, redis_server, ask_shop=shop.ask)["label"]
        assert what_becomes_of(label, "tea", "nothing") == ["3 EUR", "ValueError"]
        shop.is_down = True
        assert what_becomes_of(label, *["tea"] * 3) == ["ConnectionError"] * 3
        assert (what_becomes_of(label, "tea"), shop.asked) == (["ask us"], 5)


def test_before_and_after_async(redis_server: RedisServer, redis: Redis) -> None:
    """So do both pieces of async code."""
    for which in ("before, async", "after, async"):
        shop = Shop()
        price = ComingFromPage("circuitbreaker").run(which, redis_server, ask_shop=shop.ask_async)["price"]

        def asked(item: str, price: Callable[[str], Any] = price) -> str:
            return str(asyncio.run(price(item)))

        assert what_becomes_of(asked, "tea") == ["3"]
        shop.is_down = True
        expected = ["ConnectionError"] * 3 + ["CircuitBreakerError"]
        assert (what_becomes_of(asked, *["tea"] * 4), shop.asked) == (expected, 4)


def test_workers_share_one_circuit(redis: Redis) -> None:
    """The same name in two workers is two circuits to circuitbreaker, and one to ours."""
    peers = [theirs(failure_threshold=3) for _ in range(2)]
    ours = [CircuitBreaker(3, name="orders", redis=redis) for _ in range(2)]
    for workers in (peers, ours):
        for turn in range(4):
            call(guarded(workers[turn % 2]), ConnectionError())
    assert [worker.state for worker in peers] == ["closed", "closed"]
    assert [worker.get_state()["state"] for worker in ours] == ["open", "open"]


def test_a_restart_forgets_nothing(redis: Redis) -> None:
    """A worker that starts while the circuit is open rejects at once."""
    trip(CircuitBreaker(name="orders", redis=redis))
    with pytest.raises(CircuitBreakerError):
        CircuitBreaker(name="orders", redis=redis).call(len, "")
    call(guarded(theirs(failure_threshold=1)), ConnectionError())
    assert guarded(theirs(failure_threshold=1))(len, "tea") == 3


def test_the_defaults(redis: Redis) -> None:
    """Half a minute is a minute; and a threshold of 0 is refused rather than taken for the default."""
    assert (theirs()._recovery_timeout, theirs()._failure_threshold) == (30, 5)
    settings = CircuitBreaker(name="orders", redis=redis).settings
    assert (settings.timeout, settings.failure_threshold) == (60, 5)
    assert theirs(failure_threshold=0)._failure_threshold == 5
    with pytest.raises(SettingsError, match="failure_threshold"):
        CircuitBreaker(0, name="orders", redis=redis)


def test_two_successes_close(redis: Redis) -> None:
    """After the open period one success closes circuitbreaker, and two close ours."""
    their = theirs(failure_threshold=1)
    ours = CircuitBreaker(1, name="orders", redis=redis)
    for breaker in (their, ours):
        call(guarded(breaker), ConnectionError())
    their_open_period_ends(their)
    end_open_period(ours)
    for breaker in (their, ours):
        call(guarded(breaker))
    assert (their.state, ours.get_state()["state"]) == ("closed", "half_open")


def test_what_does_not_count_changes_no_count(redis: Redis) -> None:
    """Another exception is a success to circuitbreaker and ends a row of failures; ours ignores it."""
    their = theirs(failure_threshold=3, expected_exception=ConnectionError)
    ours = CircuitBreaker(3, expected_exception=ConnectionError, name="orders", redis=redis)
    for breaker in (their, ours):
        for error in (ConnectionError(), ConnectionError(), ValueError(), ConnectionError()):
            call(guarded(breaker), error)
    assert (their.state, ours.get_state()["state"]) == ("closed", "open")


def test_a_predicate_takes_the_exception(redis: Redis) -> None:
    """The function is given a type and an exception by circuitbreaker, the exception by ours."""
    their = theirs(failure_threshold=1, expected_exception=lambda _kind, error: error.args == ("down",))
    ours = CircuitBreaker(
        1, name="orders", redis=redis, expected_exception=lambda error: error.args == ("down",)
    )
    for breaker in (their, ours):
        call(guarded(breaker), ConnectionError("wrong"))
    assert (their.state, ours.get_state()["state"]) == ("closed", "closed")
    for breaker in (their, ours):
        call(guarded(breaker), ConnectionError("down"))
    assert (their.state, ours.get_state()["state"]) == ("open", "open")


def test_call_and_with_reject_as_well(redis: Redis) -> None:
    """Only what circuitbreaker decorates is ever rejected: `call` and a block run while it is open."""
    their = theirs(failure_threshold=1)
    ours = CircuitBreaker(1, name="orders", redis=redis)
    for breaker in (their, ours):
        call(guarded(breaker), ConnectionError())
    ran: list[str] = []
    their.call(ran.append, "call")
    call(guarded(their), ConnectionError())
    with their:
        ran.append("block")
    assert ran == ["call", "block"]
    with pytest.raises(CircuitBreakerError):
        ours.call(ran.append, "call")
    with pytest.raises(CircuitBreakerError), ours:
        ran.append("block")
    assert ran == ["call", "block"]


def test_few_probes_at_once(redis: Redis) -> None:
    """When the time is over, everybody gets in under circuitbreaker; under ours as many as you say."""
    their = theirs(failure_threshold=1)
    ours = CircuitBreaker(1, name="orders", redis=redis, half_open_max_calls=2)
    for breaker in (their, ours):
        call(guarded(breaker), ConnectionError())
    their_open_period_ends(their)
    end_open_period(ours)

    def nested(breaker: Any, depth: int) -> int:
        return 0 if depth == 0 else 1 + int(guarded(breaker)(nested, breaker, depth - 1))

    assert nested(their, 20) == 20
    with ExitStack() as probes:
        for _ in range(2):
            probes.callback(ours.report, ours.admit(), sharedbreaker.Outcome.RELEASED)
        with pytest.raises(CircuitBreakerError) as caught:
            ours.admit()
    assert caught.value.why == "probes_busy"


def test_late_results_decide_nothing(redis: Redis) -> None:
    """A slow call from before the outage that succeeds closes circuitbreaker; in ours it is only tallied."""
    their = theirs(failure_threshold=1)
    ours = CircuitBreaker(1, name="orders", redis=redis)
    for breaker in (their, ours):
        guarded(breaker)(call, guarded(breaker), ConnectionError())
    assert (their.state, ours.get_state()["state"]) == ("closed", "open")
    assert ours.get_metrics()["late_results"] == 1


def test_a_call_that_is_given_up_says_nothing(redis: Redis) -> None:
    """A cancelled task is a success to circuitbreaker and ends a row of failures; ours releases it."""
    their = theirs(failure_threshold=2)
    ours = AsyncCircuitBreaker(2, name="orders", redis=redis)

    async def ask(error: Exception | None, is_under_way: asyncio.Event) -> None:
        if error is not None:
            raise error
        is_under_way.set()
        await asyncio.sleep(60)

    async def life(guarded_ask: Callable[..., Any]) -> None:
        is_under_way = asyncio.Event()
        with suppress(ConnectionError):
            await guarded_ask(ConnectionError(), is_under_way)
        task = asyncio.ensure_future(guarded_ask(None, is_under_way))
        await is_under_way.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        with suppress(ConnectionError):
            await guarded_ask(ConnectionError(), is_under_way)

    asyncio.run(life(their(ask)))
    asyncio.run(life(circuit_breaker(ours)(ask)))
    assert their.state == "closed"
    assert asyncio.run(ours.get_state())["state"] == "open"


def test_closing_a_stream_early_says_nothing(redis: Redis) -> None:
    """Whoever has read enough ends a row of failures in circuitbreaker; ours releases the call."""

    def stream() -> Generator[int, None, None]:
        yield from range(9)

    their = theirs(failure_threshold=2)
    ours = CircuitBreaker(2, name="orders", redis=redis)
    for breaker, guarded_stream in ((their, their(stream)), (ours, circuit_breaker(ours)(stream))):
        call(guarded(breaker), ConnectionError())
        pieces = guarded_stream()
        next(pieces)
        pieces.close()
        call(guarded(breaker), ConnectionError())
    assert (their.state, ours.get_state()["state"]) == ("closed", "open")


def test_half_open_begins_with_a_call(redis: Redis) -> None:
    """When the time is over, circuitbreaker shows half_open; ours is open until somebody calls."""
    their = theirs(failure_threshold=1)
    ours = CircuitBreaker(1, name="orders", redis=redis)
    for breaker in (their, ours):
        call(guarded(breaker), ConnectionError())
    their_open_period_ends(their)
    elapse(ours, 60)
    assert (their.state, ours.get_state()["state"]) == ("half_open", "open")


def test_async_has_a_breaker_of_its_own(redis: Redis) -> None:
    """One object of circuitbreaker serves both kinds of functions; ours are two on one circuit."""

    async def ask() -> AsyncGenerator[int, None]:
        yield 1

    theirs()(ask)
    with pytest.raises(TypeError, match="AsyncCircuitBreaker"):
        circuit_breaker(CircuitBreaker(name="orders", redis=redis))(ask)
    trip(CircuitBreaker(name="orders", redis=redis))
    with pytest.raises(CircuitBreakerError):
        asyncio.run(anext_of(circuit_breaker(AsyncCircuitBreaker(name="orders", redis=redis))(ask)))


async def anext_of(stream: Callable[[], Any]) -> Any:
    return await anext(stream())


def test_no_secret_in_the_message(redis: Redis) -> None:
    """The last failure is shown with all that it says by circuitbreaker, and by its type alone by ours."""
    their = theirs(failure_threshold=1)
    ours = CircuitBreaker(1, name="orders", redis=redis)
    messages = []
    for breaker in (their, ours):
        call(guarded(breaker), ConnectionError("key=hush"))
        with pytest.raises(Exception, match="orders") as caught:
            guarded(breaker)(len, "tea")
        messages.append(str(caught.value))
    assert ["hush" in message for message in messages] == [True, False]
    assert ours.get_metrics()["last_failure_type"] == "ConnectionError"
    key = "sharedbreaker:{orders}"
    assert "hush" not in f"{redis.hgetall(key)} {redis.xrange(f'{key}:events')}"


def test_a_name_is_given(redis: Redis) -> None:
    """The name is the function's in circuitbreaker; two of ours without one share a circuit."""
    unnamed = peer.CircuitBreaker()
    unnamed(fail)
    assert unnamed.name == "fail"
    trip(CircuitBreaker(redis=redis))
    with pytest.raises(CircuitBreakerError, match="'circuit_breaker'"):
        CircuitBreaker(redis=redis).call(len, "tea")


def test_no_fallback_function(redis: Redis) -> None:
    """What to do instead is the caller's: an except clause, which sees why."""
    with pytest.raises(TypeError, match="fallback_function"):
        CircuitBreaker(name="orders", redis=redis, fallback_function=len)  # type: ignore[call-arg]


def test_no_decorator_without_a_breaker() -> None:
    """A breaker is made first; the decorator takes it and nothing else."""
    with pytest.raises(TypeError, match="circuit_breaker takes a CircuitBreaker"):
        circuit_breaker(fail)  # type: ignore[call-overload]


def test_no_defaults_in_subclasses(redis: Redis) -> None:
    """A class attribute changes nothing; a function with your arguments does."""

    class Mine(CircuitBreaker):
        FAILURE_THRESHOLD = 1
        EXPECTED_EXCEPTION = ValueError

    assert Mine(name="orders", redis=redis).settings.failure_threshold == 5


def test_no_monitor_in_the_process(redis: Redis) -> None:
    """All circuits of the fleet are listed in Redis, whichever process made them."""
    from sharedbreaker.store.fleet import Fleet

    assert not hasattr(sharedbreaker, "CircuitBreakerMonitor")
    trip(CircuitBreaker(name="orders", redis=redis))
    CircuitBreaker(name="stock", redis=redis).call(len, "tea")
    states = {snapshot.name: snapshot.state.value for snapshot in Fleet(redis).look().circuits}
    assert states == {"orders": "open", "stock": "closed"}
