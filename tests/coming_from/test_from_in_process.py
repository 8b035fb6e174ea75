"""What docs/coming-from/in-process.md says, with a breaker in one process and ours at work."""

from __future__ import annotations

import asyncio
import inspect
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import one_process_breaker as theirs
import pytest
from coming_from_page import ComingFromPage, Shop, what_becomes_of
from google.genai import errors
from redis import Redis

import sharedbreaker
from sharedbreaker import CircuitBreaker, CircuitBreakerError, SettingsError, circuit_breaker
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.observation import observe_redis
from sharedbreaker.testing import elapse, end_open_period, trip

Make = Callable[..., Any]


@pytest.fixture
def ours(redis: Redis) -> Make:
    """Makes what one worker of ours has."""

    def make(*settings: Any, **more: Any) -> CircuitBreaker:
        return CircuitBreaker(*settings, **{"name": "orders", "redis": redis, **more})

    return make


@pytest.fixture
def google(redis_server: RedisServer, redis: Redis) -> Iterator[Any]:
    """A configuration for both, undone afterwards."""
    section = SimpleNamespace(enabled=True, failure_threshold=6, timeout=30, success_threshold=1)
    config = SimpleNamespace(circuit_breaker=section, redis=SimpleNamespace(url=redis_server.url))
    yield config
    section.enabled = False
    for module in (theirs, sharedbreaker):
        module.initialize_circuit_breakers(config)


def call(breaker: Any, error: BaseException | None = None) -> None:
    def work() -> None:
        if error is not None:
            raise error

    with suppress(Exception):
        breaker.call(work)


def state(breaker: Any) -> str:
    return str(breaker.get_state()["state"])


def their_open_period_ends(breaker: Any) -> None:
    breaker.last_failure_time -= breaker.timeout


def test_before_and_after(redis_server: RedisServer, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another import and a Redis, the same code does the same."""
    monkeypatch.setitem(sys.modules, "shop.circuit_breaker", theirs)
    monkeypatch.setenv("SHAREDBREAKER_REDIS_URL", redis_server.url)
    for which in ("before", "after"):
        shop = Shop()
        label = ComingFromPage("in-process").run(which, redis_server, ask_shop=shop.ask)["label"]
        assert what_becomes_of(label, "tea", "nothing") == ["3 EUR", "ValueError"]
        shop.is_down = True
        assert what_becomes_of(label, *["tea"] * 3) == ["ConnectionError"] * 3
        assert (what_becomes_of(label, "tea"), shop.asked) == (["ask us"], 5)


def test_all_names_are_there() -> None:
    """Each name can be imported, and each parameter stands where it stood, with its default."""
    assert [name for name in theirs.__all__ if not hasattr(sharedbreaker, name)] == []
    were = inspect.signature(theirs.CircuitBreaker).parameters.values()
    are = list(inspect.signature(CircuitBreaker).parameters.values())
    assert [(p.name, p.default) for p in were] == [(p.name, p.default) for p in are[: len(were)]]
    assert {state.value for state in theirs.CircuitState} == {
        state.value for state in sharedbreaker.CircuitState
    }


def test_the_figures_have_their_names(ours: Make) -> None:
    """Each key of the two dicts, and each family, label and label's value of Prometheus, is there."""
    their, our = theirs.CircuitBreaker(1, name="orders"), ours(1)
    for breaker in (their, our):
        call(breaker)
        call(breaker, ConnectionError())
        call(breaker)
    assert their.get_state().keys() == our.get_state().keys()
    assert their.get_metrics().keys() - our.get_metrics().keys() == set()
    assert samples(their) - samples(our) == set()


def samples(breaker: Any) -> set[str]:
    return set(re.findall(r"^\w+\{.*\} [\d.]+$", breaker.export_prometheus_metrics(), re.MULTILINE))


def test_the_three_breakers_are_the_same(google: Any) -> None:
    """The same configuration makes the same three, under the same names and keys."""

    def three(module: Any) -> dict[str, tuple[str, int]]:
        module.initialize_circuit_breakers(google)
        assert module.get_google_ai_breaker() is module.get_text_generation_breaker()
        return {
            key: (seen["name"], seen["failure_threshold"]) for key, seen in module.get_all_metrics().items()
        }

    assert three(theirs) == three(sharedbreaker)
    timeouts = [breaker.settings.timeout for breaker in sharedbreaker.get_all_breakers().values() if breaker]
    assert timeouts == [breaker.timeout for breaker in theirs.get_all_breakers().values() if breaker]
    google.circuit_breaker.enabled = False
    for module in (theirs, sharedbreaker):
        module.initialize_circuit_breakers(google)
        assert module.get_all_breakers() == dict.fromkeys(("text_generation", "vision", "imagen"))


def test_workers_share_one_circuit(ours: Make) -> None:
    """Two workers see four failures of three before either stops, or three."""
    for make, states in ((theirs.CircuitBreaker, ["closed"] * 2), (ours, ["open"] * 2)):
        workers = [make(3, name="orders") for _ in range(2)]
        for turn in range(4):
            call(workers[turn % 2], ConnectionError())
        assert [state(worker) for worker in workers] == states


def test_a_restart_forgets_nothing(ours: Make) -> None:
    """A worker that starts while the circuit is open rejects at once; one that starts opens nothing."""
    trip(ours())
    with pytest.raises(CircuitBreakerError):
        ours().call(len, "tea")
    call(theirs.CircuitBreaker(1, name="orders"), ConnectionError())
    assert theirs.CircuitBreaker(1, name="orders").call(len, "tea") == 3


def test_the_same_name_is_the_same_circuit(ours: Make) -> None:
    """A name that was only a label is now what circuits are told apart by, and is checked."""
    trip(ours(name="circuit_breaker"))
    assert state(ours(name="circuit_breaker")) == "open"
    theirs.CircuitBreaker(name="my breaker")
    with pytest.raises(SettingsError, match="my breaker"):
        ours(name="my breaker")


def test_by_hand_reaches_all_workers(ours: Make) -> None:
    """What is forced lasts until it is let go, and in every worker."""
    peers, workers = [theirs.CircuitBreaker(name="orders") for _ in range(2)], [ours(), ours()]
    for one, _ in (peers, workers):
        one.force_open()
    assert (state(peers[1]), state(workers[1])) == ("closed", "open")
    their_open_period_ends(peers[0])
    elapse(workers[0], 60)
    assert peers[0].call(len, "tea") == 3
    with pytest.raises(CircuitBreakerError):
        workers[0].call(len, "tea")


def test_few_probes_at_once(ours: Make) -> None:
    """When the time is over everybody gets in, or `success_threshold` calls of the whole fleet."""
    their, our = theirs.CircuitBreaker(1, name="orders"), ours(1)
    for breaker in (their, our):
        call(breaker, ConnectionError())
    their_open_period_ends(their)
    end_open_period(our)

    assert (let_in_at_once(their, 9), let_in_at_once(our, 9)) == (9, 2)


def let_in_at_once(breaker: Any, callers: int) -> int:
    """How many of so many threads are in the guarded function at the same time."""
    everybody_asked = threading.Barrier(callers + 1, timeout=20)
    let_in: list[int] = []

    def caller() -> None:
        def function() -> None:
            let_in.append(1)
            everybody_asked.wait()

        try:
            breaker.call(function)
        except (theirs.CircuitBreakerError, CircuitBreakerError):
            everybody_asked.wait()

    threads = [threading.Thread(target=caller) for _ in range(callers)]
    for thread in threads:
        thread.start()
    everybody_asked.wait()
    for thread in threads:
        thread.join()
    return len(let_in)


def test_late_results_decide_nothing(ours: Make) -> None:
    """A call from before an outage that fails after it counts afresh, or is only tallied."""
    their, our = theirs.CircuitBreaker(2, 60, 1, name="orders"), ours(2, 60, 1)

    def outage_and_recovery(breaker: Any, end: Callable[[Any], None]) -> None:
        for _ in range(2):
            call(breaker, ConnectionError())
        end(breaker)
        call(breaker)
        raise ConnectionError

    for breaker, end in ((their, their_open_period_ends), (our, end_open_period)):
        with suppress(ConnectionError):
            breaker.call(outage_and_recovery, breaker, end)
    assert [breaker.get_state()["failure_count"] for breaker in (their, our)] == [1, 0]
    assert our.get_metrics()["late_results"] == 1


def test_tallies_add_up(ours: Make) -> None:
    """A call that ended with another exception is in the total and nowhere else, or in `ignored_calls`."""
    their = theirs.CircuitBreaker(expected_exception=ConnectionError, name="orders")
    our = ours(expected_exception=ConnectionError)
    for breaker in (their, our):
        call(breaker)
        call(breaker, ValueError())
    parts = ("successful_calls", "failed_calls", "rejected_calls", "ignored_calls")
    sums = [sum(breaker.get_metrics().get(part, 0) for part in parts) for breaker in (their, our)]
    assert [breaker.get_metrics()["total_calls"] for breaker in (their, our)] == [2, 2]
    assert sums == [1, 2]


def test_no_rate_without_calls(ours: Make) -> None:
    """Nothing is 0 % of nothing, and no alert is fired by an idle breaker."""
    their, our = theirs.CircuitBreaker(name="orders"), ours()
    assert (their.get_metrics()["success_rate_percent"], our.get_metrics()["success_rate_percent"]) == (
        0,
        None,
    )
    texts = [breaker.export_prometheus_metrics() for breaker in (their, our)]
    assert ['circuit_breaker_success_rate{name="orders"}' in text for text in texts] == [True, False]


def test_figures_are_the_fleets(ours: Make) -> None:
    """Each worker shows its own calls, or all; adding those up would count each call once per worker."""
    for make, totals in ((theirs.CircuitBreaker, [2, 1]), (ours, [3, 3])):
        workers = [make(name="orders") for _ in range(2)]
        for worker in (workers[0], workers[0], workers[1]):
            call(worker)
        assert [worker.get_metrics()["total_calls"] for worker in workers] == totals


def test_a_rejection_says_when_to_come_back(ours: Make) -> None:
    """The error is more than a sentence."""
    our = ours()
    trip(our)
    with pytest.raises(CircuitBreakerError) as caught:
        our.call(len, "tea")
    assert caught.value.retry_after == pytest.approx(60, abs=30)
    assert vars(theirs.CircuitBreakerError("a sentence")) == {}


def test_coroutine_functions_are_refused(ours: Make) -> None:
    """A coroutine that fails was a success when it was made; now TypeError points to the other breaker."""

    async def ask() -> None:
        raise ConnectionError

    their = theirs.CircuitBreaker(1, name="orders")
    with pytest.raises(ConnectionError):
        asyncio.run(theirs.circuit_breaker(their)(ask)())
    assert their.get_metrics()["successful_calls"] == 1
    with pytest.raises(TypeError, match="AsyncCircuitBreaker"):
        circuit_breaker(ours())(ask)


def test_a_wrong_request_is_no_failure_of_google(google: Any) -> None:
    """Only what says that Google AI is unwell counts: three wrong requests closed the door for all."""
    wrong = errors.ClientError(400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "no"}})
    for module, became in ((theirs, "open"), (sharedbreaker, "closed")):
        module.initialize_circuit_breakers(google)
        vision = module.get_vision_api_breaker()
        for _ in range(4):
            call(vision, wrong)
        assert state(vision) == became


def test_a_call_asks_redis_twice(ours: Make) -> None:
    """Once before and once after; with a staleness, not at all until that is over."""
    asked: list[str] = []
    strict, stale = ours(), ours(name="stock", max_staleness=600)
    for breaker in (strict, stale):
        call(breaker)
    end = observe_redis(lambda step, _seconds, *, answered: asked.append(step))
    try:
        call(strict)
        call(stale)
    finally:
        end()
    assert asked == ["admit", "report"]


def test_without_redis_it_goes_on_as_before() -> None:
    """While Redis is away a process decides by itself, by the same rules."""
    our = CircuitBreaker(2, name="orders", redis="redis://127.0.0.1:1")
    for _ in range(2):
        with pytest.raises(ConnectionError):
            circuit_breaker(our)(fail)()
    with pytest.raises(CircuitBreakerError):
        our.call(len, "tea")
    assert not our.redis_available


def fail() -> None:
    raise ConnectionError


def test_no_breaker_without_a_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is where Redis is by default, and not that there is none."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.delenv("SHAREDBREAKER_REDIS_URL", raising=False)
    assert CircuitBreaker(name="orders", redis=None)._link.address == "localhost:6379"


def test_no_attributes_to_read_or_write(ours: Make) -> None:
    """State and counts are Redis', and are read by asking for them."""
    their, our = theirs.CircuitBreaker(name="orders"), ours()
    attributes = ("state", "failure_count", "success_count", "last_failure_time", "failure_threshold")
    assert all(hasattr(their, name) for name in attributes)
    assert not any(hasattr(our, name) for name in attributes)
