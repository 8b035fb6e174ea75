"""Redis away: refused, stopped or frozen, the call runs, its end is passed on, and the wait is bounded."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest
from redis import Redis

from circuit_in_redis import (
    BadRequestError,
    CircuitInRedis,
    ServiceDownError,
    bad_request,
    new_breaker,
    service_down,
    succeed,
    work,
)
from sharedbreaker import CircuitBreaker, Outcome, StoreError, circuit_breaker
from sharedbreaker.demo.redis_server import RedisServer, free_port
from sharedbreaker.store.quiet_log import QuietLog

TROUBLES = ["nobody there", "stopped", "killed", "frozen", "frozen under a client that waits for ever"]
TIMEOUT_SECONDS = 0.1
BOUND_SECONDS = 4.0


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of this test's own."""
    with RedisServer() as server:
        yield server


@pytest.fixture(params=TROUBLES)
def breaker(request: pytest.FixtureRequest, server: RedisServer) -> Iterator[CircuitBreaker]:
    """A breaker whose Redis cannot be used."""
    if request.param == "nobody there":
        yield new_breaker(f"redis://127.0.0.1:{free_port()}/0", redis_timeout=TIMEOUT_SECONDS)
        return
    client = Redis(port=server.port, socket_timeout=None, socket_connect_timeout=None)
    breaker = new_breaker(client if "client" in request.param else server.url, redis_timeout=TIMEOUT_SECONDS)
    # Connected, with all scripts known: it is the wait for an answer that must end.
    while not breaker.get_metrics().get("redis_available", True) or not breaker.get_metrics()["total_calls"]:
        succeed(breaker)
    # A slow machine may have been an outage by now, of which one warning a minute is written.
    breaker._store._log = QuietLog()
    {"stopped": server.stop, "killed": server.kill}.get(request.param, server.freeze)()
    yield breaker
    client.close()
    if request.param.startswith("frozen"):
        server.thaw()


def test_result_is_passed_on(breaker: CircuitBreaker) -> None:
    """Without Redis the call's result comes back, within a bounded wait."""
    started = time.monotonic()

    assert breaker.call(work) == "done"
    assert time.monotonic() - started < BOUND_SECONDS


@pytest.mark.parametrize("error", [ServiceDownError, BadRequestError])
def test_exception_is_passed_on(breaker: CircuitBreaker, error: type[Exception]) -> None:
    """Without Redis the call's own exception comes back, not one of Redis'."""
    function = service_down if error is ServiceDownError else bad_request
    started = time.monotonic()

    with pytest.raises(error) as caught:
        breaker.call(function)

    assert time.monotonic() - started < BOUND_SECONDS
    assert caught.value.__context__ is None


def test_given_up_call_is_passed_on(breaker: CircuitBreaker) -> None:
    """Without Redis a KeyboardInterrupt inside the call comes out as such."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        breaker.call(interrupted)


def test_block_and_decorator_run(breaker: CircuitBreaker) -> None:
    """Without Redis blocks and decorated functions run as well."""
    with breaker:
        pass
    assert circuit_breaker(breaker)(work)() == "done"


def test_pair_works(breaker: CircuitBreaker) -> None:
    """Without Redis admit and report raise nothing."""
    breaker.report(breaker.admit(), Outcome.SUCCESS)


def test_many_calls_are_logged_in_few_lines(
    breaker: CircuitBreaker, caplog: pytest.LogCaptureFixture
) -> None:
    """Twenty calls without Redis leave one warning that names the circuit, and no traceback."""
    caplog.set_level(logging.INFO)

    succeed(breaker, 20)

    ours = [record for record in caplog.records if record.name.startswith("sharedbreaker")]
    assert len(ours) == 1
    assert ours[0].levelno == logging.WARNING
    assert "orders" in ours[0].getMessage()
    assert ours[0].exc_info is None


def test_manual_control_says_that_it_failed(breaker: CircuitBreaker) -> None:
    """Without Redis every manual act raises StoreError: nobody believes that the fleet obeyed."""
    for act in (breaker.force_open, breaker.force_close, breaker.disable, breaker.enable):
        with pytest.raises(StoreError):
            act()

    assert breaker.call(work) == "done"


def test_creating_a_breaker_works(breaker: CircuitBreaker) -> None:
    """Creating breakers and showing them needs no Redis, and takes no time."""
    started = time.monotonic()

    for number in range(50):
        repr(new_breaker("redis://127.0.0.1:1/0", name=f"circuit{number}"))

    assert time.monotonic() - started < BOUND_SECONDS


def test_result_is_passed_on_when_redis_goes_away_during_the_call(server: RedisServer) -> None:
    """A call that was admitted by Redis and ends without it returns its result."""
    breaker = new_breaker(server.url, redis_timeout=TIMEOUT_SECONDS)
    succeed(breaker)

    def stop_redis() -> str:
        server.freeze()
        return "done"

    started = time.monotonic()
    assert breaker.call(stop_redis) == "done"
    assert time.monotonic() - started < BOUND_SECONDS
    server.thaw()


def test_report_that_found_no_redis_is_told_later(server: RedisServer) -> None:
    """A call that ended while Redis was frozen is counted once when Redis goes on."""
    breaker = new_breaker(server.url, redis_timeout=0.2, redis_retry_interval=0.01)
    succeed(breaker)
    admission = breaker.admit()
    server.freeze()
    breaker.report(admission, Outcome.FAILURE)
    server.thaw()

    circuit = CircuitInRedis(server.client(decode_responses=True))
    deadline = time.monotonic() + 20
    while circuit.number("failed_calls") == 0 or circuit.leases():
        assert time.monotonic() < deadline
        succeed(breaker)

    succeed(breaker)
    assert circuit.number("failed_calls") == 1
    circuit.redis.close()


def test_circuit_is_shared_again_when_redis_is_back(server: RedisServer) -> None:
    """After an outage and a restart with an empty Redis, calls are counted there again."""
    breaker = new_breaker(server.url, redis_timeout=0.2, redis_retry_interval=0.01)
    succeed(breaker)
    server.stop()
    succeed(breaker)
    server.start()

    circuit = CircuitInRedis(server.client(decode_responses=True))
    deadline = time.monotonic() + 20
    while not circuit.fields():
        assert time.monotonic() < deadline
        succeed(breaker)

    assert circuit.field("state") == "closed"
    assert circuit.field("failure_threshold") == "3"
    circuit.redis.close()
