"""Redis is lost, in every way, and comes back with its data: what a call gets, and what the books say."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from topology_lifecycle import (
    SCHEDULING,
    SharedCircuit,
    be_ignored,
    be_rejected,
    fail,
    is_shared,
    new_breaker,
    succeed,
    tallies_of,
    wait_for_tallies,
    wait_until_shared,
    wait_until_told,
)
from topology_outages import OUTAGES, Outage, Place, frozen, name_of, place_of, running_server
from topology_traffic import Traffic

from sharedbreaker import CircuitState, StoreError
from sharedbreaker.demo.redis_server import RedisServer

REDIS_TIMEOUT = 0.3
SETTINGS = {"redis_timeout": REDIS_TIMEOUT, "redis_retry_interval": 0.1}


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def place(server: RedisServer) -> Iterator[Place]:
    with place_of(server) as place:
        yield place


@pytest.mark.parametrize("outage", OUTAGES, ids=name_of)
def test_local_rules_protect_during_an_outage(
    place: Place, caplog: pytest.LogCaptureFixture, outage: Outage
) -> None:
    """Results and errors pass, the circuit opens by the same rules, and Redis gets each call once."""
    changes: list[bool] = []
    breaker = new_breaker(place.url, on_redis_change=changes.append, **SETTINGS)
    succeed(breaker)
    with caplog.at_level(logging.WARNING, "sharedbreaker"), outage(place):
        began = time.monotonic()
        succeed(breaker, 2)
        be_ignored(breaker)
        fail(breaker, 3)
        error = be_rejected(breaker, 50)
        assert time.monotonic() - began < REDIS_TIMEOUT + SCHEDULING
        metrics = breaker.get_metrics()
    wait_for_tallies(breaker, success=3, ignored=1, failure=3, rejected=50)
    ended = time.monotonic()
    wait_until_told(changes)

    assert error.why == "open"
    assert metrics["redis_available"] is False
    assert metrics["state"] == breaker.get_state()["state"].replace("closed", "open")
    assert metrics["unwritten_calls"] == 56
    assert metrics["is_degraded"] is False
    assert changes == [False, True]
    assert 1 <= len(caplog.records) <= 5
    circuit = SharedCircuit(place.admin)
    (event,) = circuit.away_events()
    assert int(event["calls"]) == 56
    assert 0 < int(event["away_ms"]) / 1000 <= ended - began
    assert circuit.leases() == 0
    # The shared state wins: what one process decided by itself opens nobody else's circuit.
    assert circuit.state() == "closed"
    succeed(breaker)
    wait_for_tallies(breaker, success=4, ignored=1, failure=3, rejected=50)


@pytest.mark.parametrize("outage", OUTAGES, ids=name_of)
def test_allow_lets_every_call_run(place: Place, outage: Outage) -> None:
    """With on_redis_error="allow" no failure opens anything, and all calls are counted afterwards."""
    breaker = new_breaker(place.url, on_redis_error="allow", **SETTINGS)
    succeed(breaker)
    with outage(place):
        fail(breaker, 10)
        succeed(breaker, 5)
        assert not is_shared(breaker)

    wait_for_tallies(breaker, success=6, failure=10)
    assert SharedCircuit(place.admin).state() == "closed"


@pytest.mark.parametrize("outage", OUTAGES, ids=name_of)
def test_reject_lets_no_call_run(place: Place, outage: Outage) -> None:
    """With on_redis_error="reject" calls are rejected and told why, and all are counted afterwards."""
    breaker = new_breaker(place.url, on_redis_error="reject", **SETTINGS)
    succeed(breaker)
    with outage(place):
        error = be_rejected(breaker, 10)
        assert error.why == "redis_away"
        assert error.retry_after is not None
        assert 0 <= error.retry_after <= 0.1
        assert not is_shared(breaker)

    wait_for_tallies(breaker, success=1, rejected=10)


@pytest.mark.parametrize("outage", OUTAGES, ids=name_of)
def test_open_circuit_stays_open_for_the_rest_of_its_time(place: Place, outage: Outage) -> None:
    """What this process knows to be open is open without Redis too, and no rejection goes uncounted."""
    breaker = new_breaker(place.url, **SETTINGS)
    fail(breaker, 3)
    with outage(place):
        error = be_rejected(breaker, 10)
        assert error.state is CircuitState.OPEN
        assert error.retry_after == pytest.approx(60, abs=20)

    wait_for_tallies(breaker, failure=3, rejected=10, rejections_in_doubt=1)
    assert SharedCircuit(place.admin).state() == "open"


@pytest.mark.parametrize("outage", OUTAGES, ids=name_of)
def test_manual_control_is_refused(place: Place, outage: Outage) -> None:
    """An act while Redis is known to be away raises StoreError, says what to do, and changes nothing."""
    breaker = new_breaker(place.url, **SETTINGS)
    succeed(breaker)
    with ExitStack() as stack:
        stack.enter_context(outage(place))
        succeed(breaker)
        for act in (breaker.force_open, breaker.disable):
            with pytest.raises(StoreError, match="try again when Redis answers"):
                act()
        fail(breaker, 3)
        be_rejected(breaker)
    wait_for_tallies(breaker, success=2, failure=3, rejected=1)

    circuit = SharedCircuit(place.admin)
    assert (circuit.state(), circuit.fields()["mode"]) == ("closed", "automatic")
    assert circuit.moves() == []


@pytest.mark.parametrize("outage", OUTAGES, ids=name_of)
def test_call_in_flight_when_redis_goes_is_counted_once(place: Place, outage: Outage) -> None:
    """A call that Redis admitted, and that ends without it, is counted in Redis afterwards, once."""
    breaker = new_breaker(place.url, **SETTINGS)
    circuit = SharedCircuit(place.admin)
    with ExitStack() as stack:

        def lose_redis() -> str:
            stack.enter_context(outage(place))
            return "done"

        assert breaker.call(lose_redis) == "done"
        succeed(breaker)
    wait_for_tallies(breaker, success=2)

    assert circuit.leases() == 0


def test_call_in_flight_when_redis_returns_is_counted_once(place: Place) -> None:
    """A call that the process admitted by itself, and that ends with Redis back, is counted in it, once."""
    breaker = new_breaker(place.url, **SETTINGS)
    succeed(breaker)
    with ExitStack() as stack:
        stack.enter_context(frozen(place))

        def have_redis_back() -> str:
            stack.close()
            wait_until_shared(breaker)
            return "done"

        assert breaker.call(have_redis_back) == "done"
    wait_for_tallies(breaker, success=2)


@pytest.mark.sync_only("tasks need longer to connect again than it gives them; see test_async_loop_goes_on")
def test_killed_connections_are_no_outage(place: Place) -> None:
    """CLIENT KILL of all connections, again and again under traffic, fails no call and is no outage."""
    changes: list[bool] = []
    breaker = new_breaker(place.url, redis_timeout=5, on_redis_change=changes.append)
    succeed(breaker)
    with Traffic([breaker]) as traffic:
        for _ in range(10):
            traffic.wait_for_calls(30)
            place.admin.client_kill_filter(_type="normal", skipme=True)
        traffic.wait_for_calls(30)

    counts = traffic.counts(breaker.name)
    wait_for_tallies(breaker, success=counts["success"] + 1)
    assert changes == []
    assert SharedCircuit(place.admin).leases() == 0


def test_server_that_was_killed_and_comes_back_empty() -> None:
    """A server without its data gets the settings, a later epoch, and what was tallied meanwhile."""
    with RedisServer() as server:
        breaker = new_breaker(server.url, **SETTINGS)
        succeed(breaker, 3)
        admin = server.client(decode_responses=True)
        circuit = SharedCircuit(admin)
        epoch = int(circuit.fields()["epoch"])
        server.kill()
        succeed(breaker, 2)
        fail(breaker)
        server.start()
        wait_for_tallies(breaker, success=2, failure=1)

        fields = circuit.fields()
        assert int(fields["epoch"]) > epoch
        assert (fields["state"], fields["failure_threshold"], fields["open_timeout_ms"]) == (
            "closed",
            "3",
            "60000",
        )
        assert circuit.is_listed()
        admin.close()


def test_connect_that_never_ends_is_bounded() -> None:
    """An address whose queue of connections is full lets calls pass after one bounded wait."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        while True:
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0.2)
            try:
                filler.connect(listener.getsockname())
            except TimeoutError:
                break
        breaker = new_breaker(f"redis://127.0.0.1:{listener.getsockname()[1]}", **SETTINGS)
        began = time.monotonic()
        succeed(breaker, 20)
        fail(breaker, 3)
        be_rejected(breaker)

        assert time.monotonic() - began < REDIS_TIMEOUT + SCHEDULING
        assert tallies_of(breaker)["total_calls"] == 24


def test_queue_that_nobody_serves_is_bounded() -> None:
    """An address that takes connections and that nobody serves lets calls pass after one bounded wait."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        breaker = new_breaker(f"redis://127.0.0.1:{listener.getsockname()[1]}", **SETTINGS)
        began = time.monotonic()
        succeed(breaker, 20)

        assert time.monotonic() - began < REDIS_TIMEOUT + SCHEDULING
        assert not is_shared(breaker)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x50", b"*-7\r\n"]
)
def test_something_else_than_redis_never_fails_a_call(answer: bytes) -> None:
    """An address where another protocol is spoken is an outage like any other."""

    def speak() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        breaker = new_breaker(f"redis://127.0.0.1:{listener.getsockname()[1]}", **SETTINGS)
        succeed(breaker, 3)
        fail(breaker, 3)
        be_rejected(breaker)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
