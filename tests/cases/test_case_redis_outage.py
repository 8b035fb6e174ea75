"""Redis refuses, or never answers: calls go on, guarded, and the wait is bounded."""

from __future__ import annotations

import inspect
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from held_call import HeldCall
from redis import Redis
from stale_circuits import wait_until
from topology_lifecycle import wait_for_tallies, wait_until_shared
from topology_outages import Place, frozen, place_of, refused, running_server, silent
from web_servers import behind_flask

from circuit_in_redis import (
    BadRequestError,
    ServiceDownError,
    be_ignored,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    work,
)
from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, CircuitBreakerError
from sharedbreaker.demo.redis_server import RedisServer, free_port
from sharedbreaker.integrations.web import BreakerSite

QUICK: dict[str, Any] = {"redis_timeout": 5, "redis_retry_interval": 0.05}
"""For outages that refuse: a machine that is slow for a moment is none."""
HANGING: dict[str, Any] = {"redis_timeout": 0.25, "redis_retry_interval": 0.05}
"""For outages in which somebody has to wait."""
ONCE: dict[str, Any] = {"redis_timeout": 0.1, "redis_retry_interval": 3600}
"""For tests in which Redis is not tried again."""
STALENESSES = pytest.mark.parametrize("max_staleness", [0, 0.02], ids=["strict", "stale"])
BOUND_SECONDS = 20
"""After so long a call hangs, also on a machine that is busy with other things."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def place(server: RedisServer) -> Iterator[Place]:
    with place_of(server) as place:
        yield place


def within_bounds(run: Callable[[], None]) -> None:
    """Run it in a thread, and fail rather than hang with it."""
    raised: list[BaseException] = []

    def whole() -> None:
        try:
            run()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=whole, daemon=True)
    thread.start()
    thread.join(BOUND_SECONDS)
    assert not thread.is_alive(), "it hangs"
    assert not raised, raised


@STALENESSES
def test_sb057_redis_stops_in_the_middle_of_traffic(place: Place, max_staleness: float) -> None:
    """Each call gets its own end before, in and after the outage, and all are tallied once."""
    breaker = new_breaker(place.url, max_staleness=max_staleness, failure_threshold=10, **QUICK)
    for outage in range(2):
        succeed(breaker, 2)
        with refused(place):
            succeed(breaker, 5)
            fail(breaker, 2)
            be_ignored(breaker)
            assert not breaker.get_metrics()["redis_available"]
        wait_until_shared(breaker)
        wait_for_tallies(
            breaker, success=7 * (outage + 1), failure=2 * (outage + 1), ignored=outage + 1, rejected=0
        )


@STALENESSES
@pytest.mark.parametrize("error", [None, ServiceDownError("503"), BadRequestError("400")], ids=repr)
def test_sb057_outage_during_a_call_never_replaces_its_end(
    place: Place, error: Exception | None, max_staleness: float
) -> None:
    """A call whose report cannot be sent returns its result, or raises its own exception and no other."""
    breaker = new_breaker(place.url, max_staleness=max_staleness, **QUICK)
    succeed(breaker)
    call = HeldCall(breaker)
    with refused(place):
        call.end(error)
        assert call.raised is error
        assert call.result == (None if error else "done")
        if error is not None:
            assert error.__cause__ is None
            assert error.__context__ is None
    wait_until_shared(breaker)
    wait_for_tallies(
        breaker,
        success=1 + (error is None),
        failure=int(isinstance(error, ServiceDownError)),
        ignored=int(isinstance(error, BadRequestError)),
    )


def nobody_there() -> str:
    return f"redis://127.0.0.1:{free_port()}/0"


def no_such_name() -> str:
    return "redis://redis.invalid:6379/0"


@STALENESSES
@pytest.mark.parametrize("url_of", [nobody_there, no_such_name])
def test_sb057_process_that_starts_without_redis_serves(
    url_of: Callable[[], str], max_staleness: float
) -> None:
    """A process that starts while Redis is down, or its name unknown, makes its breaker and its calls."""
    resolve = socket.getaddrinfo

    def unknown(host: Any, *others: Any, **more: Any) -> Any:
        if host == "redis.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *others, **more)

    with mock.patch("socket.getaddrinfo", unknown):
        breaker = new_breaker(url_of(), max_staleness=max_staleness, **QUICK)
        succeed(breaker, 2)
        be_ignored(breaker)
        fail(breaker, 3)
        assert be_rejected(breaker).why == "open"
        metrics = breaker.get_metrics()
        assert (metrics["redis_available"], metrics["state"]) == (False, "open")
    breaker._store.forget()


def test_sb057_process_that_started_without_redis_joins_it(place: Place) -> None:
    """Once Redis is there, a process that started without it shares, and what it did meanwhile is in."""
    with refused(place):
        breaker = new_breaker(place.url, **QUICK)
        succeed(breaker, 2)
    wait_until_shared(breaker)
    wait_for_tallies(breaker, success=2)
    fail(breaker, 3)
    assert place.admin.hget("sharedbreaker:{orders}", "state") == "open"


@pytest.mark.parametrize(("rule", "hits"), [("local", 5), ("allow", 50), ("reject", 0)])
def test_sb059_protection_stays_while_redis_is_away(place: Place, rule: str, hits: int) -> None:
    """Of fifty calls to a dead service five reach it by default, all by "allow", and none by "reject"."""
    reached = 0

    def dead_service() -> None:
        nonlocal reached
        reached += 1
        raise ServiceDownError("503")

    breaker = new_breaker(place.url, failure_threshold=5, on_redis_error=rule, **{**ONCE, "redis_timeout": 5})
    succeed(breaker)
    with refused(place):
        for _ in range(50):
            with pytest.raises((ServiceDownError, CircuitBreakerError)):
                breaker.call(dead_service)
        assert reached == hits
    breaker._store.forget()


@STALENESSES
def test_sb059_open_circuit_stays_open_when_redis_goes(place: Place, max_staleness: float) -> None:
    """What was open before the outage is open in it, for the rest of its time."""
    breaker = new_breaker(place.url, max_staleness=max_staleness, **QUICK)
    fail(breaker, 3)
    before = be_rejected(breaker).retry_after
    with refused(place):
        after = be_rejected(breaker).retry_after
        assert before is not None
        assert after is not None
        assert 0 < after <= before
    wait_until_shared(breaker)


def test_sb059_degraded_process_says_so(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """While Redis is away metrics, a callback and one line of the log say that this process is alone."""
    changes: list[bool] = []
    breaker = new_breaker(place.url, name="alone", on_redis_change=changes.append, **QUICK)
    succeed(breaker)
    with refused(place):
        fail(breaker, 3)
        be_rejected(breaker)
        metrics = breaker.get_metrics()
        assert (metrics["redis_available"], metrics["state"]) == (False, "open")
        assert changes == [False]
        (told,) = [line for line in caplog.messages if "'alone'" in line and "could not be asked" in line]
        assert "on_redis_error='local' decides" in told
    wait_until_shared(breaker)
    wait_until(lambda: changes == [False, True], "its return is told")
    assert "circuit 'alone': Redis answers again" in caplog.text


@pytest.mark.sync_only(why="it is the site that is tried, and a breaker for threads behind it")
def test_sb059_health_page_tells_of_a_degraded_process(place: Place) -> None:
    """/api/health and the figures show how this process decides without Redis, and readiness says 503."""
    breaker = new_breaker(place.url, **QUICK)
    succeed(breaker)
    with refused(place), behind_flask(BreakerSite([breaker]), lambda: breaker.call(work)) as client:
        fail(breaker, 3)
        assert client.get("/api/health/live").status == 200
        assert client.get("/api/health/ready").status == 503
        health = client.get("/api/health")
        assert (health.status, health.document["circuit_breakers"]["orders"]["state"]) == (503, "open")
        figures = client.get("/api/circuit-breakers/metrics").document["breakers"]["orders"]
        assert figures["redis_available"] is False
        assert client.get("/call").status == 503
    wait_until_shared(breaker)


@pytest.mark.parametrize(("outage", "max_staleness"), [(frozen, 0), (silent, 0.02)])
def test_sb058_hundred_calls_on_a_redis_that_never_answers_wait_once(
    place: Place, outage: Any, max_staleness: float
) -> None:
    """Between two tries of Redis no call waits for it: a hundred calls meet it once or twice.

    Each try that is not answered gives its connection up, so that the next one takes a new one.
    """
    breaker = new_breaker(
        place.url, max_staleness=max_staleness, redis_timeout=0.3, redis_retry_interval=3600
    )
    succeed(breaker)
    before = place.proxy.taken
    with outage(place):
        within_bounds(lambda: succeed(breaker, 50))
        time.sleep(max_staleness)
        within_bounds(lambda: succeed(breaker, 50))
        assert not breaker.get_metrics()["redis_available"]
        assert place.proxy.taken - before <= 2
    breaker._store.forget()


@pytest.mark.parametrize(("outage", "max_staleness"), [(frozen, 0), (silent, 0.02)])
def test_sb058_redis_that_answers_again_is_shared_again(
    place: Place, outage: Any, max_staleness: float
) -> None:
    """After the freeze calls are shared again, without a restart, and each was counted once."""
    breaker = new_breaker(place.url, max_staleness=max_staleness, **HANGING)
    succeed(breaker)
    with outage(place):
        within_bounds(lambda: succeed(breaker, 20))
    wait_until_shared(breaker)
    wait_for_tallies(breaker, success=21)
    fail(breaker, 3)
    assert place.admin.hget("sharedbreaker:{orders}", "state") == "open"


def test_sb058_client_that_waits_for_ever_is_bounded_all_the_same(place: Place) -> None:
    """A client that was handed in without any timeout, and that retries, makes no call wait for ever."""
    client = Redis(port=place.proxy.port, socket_timeout=None, socket_connect_timeout=None)
    breaker = new_breaker(client, **ONCE)
    succeed(breaker)
    with silent(place):
        within_bounds(lambda: succeed(breaker, 3))
        assert not breaker.get_metrics()["redis_available"]
    breaker._store.forget()
    client.close()


def test_sb058_connecting_to_a_black_hole_is_bounded() -> None:
    """An address that takes no connection and refuses none holds up a first call for redis_timeout alone."""
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        breaker = new_breaker(f"redis://127.0.0.1:{hole.getsockname()[1]}/0", **ONCE)
        within_bounds(lambda: succeed(breaker, 3))
        assert not breaker.get_metrics()["redis_available"]
        for filler in fillers:
            filler.close()
    breaker._store.forget()


@pytest.mark.parametrize("kind", [CircuitBreaker, AsyncCircuitBreaker])
@pytest.mark.sync_only(why="signatures are those of both kinds")
def test_sb058_bound_is_there_by_default(kind: type) -> None:
    """Nobody has to ask for the bound: 250 ms for any wait, and a try a second."""
    parameters = inspect.signature(kind).parameters
    assert parameters["redis_timeout"].default == 0.25
    assert parameters["redis_retry_interval"].default == 1


def test_peer_service_that_fails_on_as_redis_comes_back_is_tripped_for_all(place: Place) -> None:
    """What one process opened alone is not the fleet's; failures that go on open the circuit for all."""
    breaker, other = new_breaker(place.url, **QUICK), new_breaker(place.admin, **QUICK)
    succeed(breaker)
    with refused(place):
        fail(breaker, 3)
        be_rejected(breaker)
    reached = 0

    def service() -> None:
        nonlocal reached
        reached += 1
        raise ServiceDownError("503")

    def is_open_for_all() -> bool:
        with pytest.raises((ServiceDownError, CircuitBreakerError)):
            breaker.call(service)
        return place.admin.hget("sharedbreaker:{orders}", "state") == "open"

    wait_until(is_open_for_all, "the fleet's circuit is open")
    assert reached == 3
    be_rejected(other)
