"""Replies lost on the way: the script ran, nobody heard; nothing may count twice or lose its place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from cutting_proxy import CuttingProxy
from redis import Redis

from circuit_in_redis import (
    CircuitInRedis,
    be_ignored,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    trip,
    trip_and_wait,
)
from sharedbreaker import CircuitBreaker, SharedBreakerError
from sharedbreaker.demo.redis_server import RedisServer


@pytest.fixture
def proxy(redis_server: RedisServer, redis: Redis) -> Iterator[CuttingProxy]:
    with CuttingProxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture(params=["URL", "client", "client with retries"])
def breaker(request: pytest.FixtureRequest, proxy: CuttingProxy) -> Iterator[CircuitBreaker]:
    """A breaker behind the proxy that has made its first call, so that every script is known."""
    if request.param == "URL":
        yield warm(new_breaker(proxy.url, redis_retry_interval=0.001))
        return
    client = Redis(port=proxy.port) if request.param == "client with retries" else Redis.from_url(proxy.url)
    yield warm(new_breaker(client, redis_retry_interval=0.001))
    client.close()


def warm(breaker: CircuitBreaker) -> CircuitBreaker:
    succeed(breaker)
    breaker.force_close()
    breaker.get_state()
    return breaker


def test_failure_whose_reply_is_lost_counts_once(
    breaker: CircuitBreaker, proxy: CuttingProxy, redis: Redis
) -> None:
    """One failure with threshold 2 of which the report's reply is lost does not open the circuit."""
    circuit = CircuitInRedis(redis)
    circuit.set(failure_threshold=2)
    proxy.lose_reply_to("report")

    fail(breaker)

    assert proxy.lost == 1
    assert (circuit.field("state"), circuit.field("failure_count")) == ("closed", "1")
    assert circuit.number("failed_calls") == 1
    assert circuit.leases() == {}


def test_tripping_failure_whose_reply_is_lost_trips_once(
    breaker: CircuitBreaker, proxy: CuttingProxy, redis: Redis
) -> None:
    """The failure that opens the circuit is tallied once, and so is the transition."""
    circuit = CircuitInRedis(redis)
    fail(breaker, 2)
    proxy.lose_reply_to("report")

    fail(breaker)

    assert circuit.number("failed_calls") == 3
    assert circuit.transitions() == {"closed_to_open": 1}
    assert circuit.moves() == ["closed_to_open"]
    be_rejected(breaker)


@pytest.mark.parametrize("step", [succeed, fail, be_ignored])
def test_admission_whose_reply_is_lost_is_one_call(
    breaker: CircuitBreaker, proxy: CuttingProxy, redis: Redis, step: object
) -> None:
    """A call whose admission was not answered runs, is tallied once, and leaves no lease."""
    assert callable(step)
    circuit = CircuitInRedis(redis)
    before = sum(circuit.tallies().values())
    proxy.lose_reply_to("admit")

    step(breaker)

    assert proxy.lost == 1
    assert sum(circuit.tallies().values()) == before + 1
    assert circuit.leases() == {}


def test_probe_whose_admission_reply_is_lost_gets_in(
    breaker: CircuitBreaker, proxy: CuttingProxy, redis: Redis
) -> None:
    """The only caller in half-open is not refused by its own lost admission; its success counts."""
    circuit = CircuitInRedis(redis)
    circuit.set(half_open_max_calls=1)
    trip(breaker, redis)
    circuit.end_open_period()
    proxy.lose_reply_to("admit")

    succeed(breaker)

    assert proxy.lost == 1
    assert circuit.field("success_count") == "1"
    assert circuit.transitions() == {"closed_to_open": 1, "open_to_half_open": 1}
    assert circuit.number("lost_calls") == 0
    succeed(breaker)
    assert circuit.field("state") == "closed"


def test_probes_success_whose_reply_is_lost_closes_once(
    breaker: CircuitBreaker, proxy: CuttingProxy, redis: Redis
) -> None:
    """The probe whose report closes the circuit is tallied once, and so is the transition."""
    circuit = trip_and_wait(breaker, redis)
    succeed(breaker)
    before = circuit.number("successful_calls")
    proxy.lose_reply_to("report")

    succeed(breaker)

    assert proxy.lost == 1
    assert circuit.field("state") == "closed"
    assert circuit.number("successful_calls") == before + 1
    assert circuit.transitions() == {"closed_to_open": 1, "open_to_half_open": 1, "half_open_to_closed": 1}
    succeed(breaker)


def test_failing_probes_lost_reply_opens_once(
    breaker: CircuitBreaker, proxy: CuttingProxy, redis: Redis
) -> None:
    """The failing probe is tallied once, and its new open period is not begun twice."""
    circuit = trip_and_wait(breaker, redis)
    proxy.lose_reply_to("report")

    fail(breaker)

    assert circuit.field("state") == "open"
    assert circuit.transitions()["half_open_to_open"] == 1
    assert circuit.number("failed_calls") == 4


def test_rejection_whose_reply_is_lost_is_tallied_at_most_once_more(
    breaker: CircuitBreaker, proxy: CuttingProxy, redis: Redis
) -> None:
    """A rejection leaves nothing to know it by: where its answer was lost it may be tallied twice."""
    circuit = trip(breaker, redis)
    proxy.lose_reply_to("admit")

    be_rejected(breaker)

    assert proxy.lost == 1
    assert circuit.number("rejected_calls") in (1, 2)


def test_admission_that_is_refused_at_its_second_asking_leaves_no_lease(
    breaker: CircuitBreaker, proxy: CuttingProxy, redis: Redis
) -> None:
    """A call admitted without hearing it, and refused when it asks again, is not on the books any more."""
    circuit = CircuitInRedis(redis)
    proxy.lose_reply_to("admit", meanwhile=lambda: fail(new_breaker(redis), 3))

    be_rejected(breaker)

    assert proxy.lost == 1
    assert circuit.leases() == {}


def test_probe_admitted_at_its_second_asking_is_on_the_books_once(
    breaker: CircuitBreaker, proxy: CuttingProxy, redis: Redis
) -> None:
    """A call admitted in closed without hearing it, and as a probe when it asks again, has one lease."""
    circuit = CircuitInRedis(redis)

    def trip_and_let_the_period_pass() -> None:
        trip(new_breaker(redis), redis)
        circuit.end_open_period()

    proxy.lose_reply_to("admit", meanwhile=trip_and_let_the_period_pass)

    succeed(breaker)

    assert proxy.lost == 1
    assert circuit.field("success_count") == "1"
    assert circuit.leases() == {}


@pytest.mark.parametrize("name", ["admit", "report"])
@pytest.mark.parametrize("state", ["closed", "half_open"])
def test_request_that_never_arrived_is_sent_again(
    breaker: CircuitBreaker, proxy: CuttingProxy, redis: Redis, name: str, state: str
) -> None:
    """Where the connection broke before the script ran, the call counts all the same, once."""
    circuit = CircuitInRedis(redis)
    if state == "half_open":
        trip_and_wait(breaker, redis)
        be_ignored(breaker)
    before = circuit.number("successful_calls")
    proxy.lose_reply_to(name, before=True)

    succeed(breaker)

    assert proxy.lost == 1
    assert circuit.number("successful_calls") == before + 1
    assert circuit.leases() == {}


def test_report_whose_replies_are_all_lost_counts_once(
    breaker: CircuitBreaker, proxy: CuttingProxy, redis: Redis
) -> None:
    """A report that never got an answer is counted once, also after the breaker has caught up."""
    circuit = CircuitInRedis(redis)
    proxy.lose_reply_to("report", times=2)
    fail(breaker)
    catch_up(breaker)

    assert circuit.number("failed_calls") == 1
    assert circuit.leases() == {}


def test_probe_whose_admission_replies_are_all_lost_does_not_keep_the_place(
    breaker: CircuitBreaker, proxy: CuttingProxy, redis: Redis
) -> None:
    """A probe that never got an answer does not block recovery until its lease ends."""
    circuit = CircuitInRedis(redis)
    circuit.set(half_open_max_calls=1)
    trip(breaker, redis)
    circuit.end_open_period()
    proxy.lose_reply_to("admit", times=2)
    with contextlib.suppress(SharedBreakerError):
        succeed(breaker)
    catch_up(breaker)

    succeed(breaker, 2)

    assert circuit.field("state") == "closed"
    assert circuit.number("lost_calls") == 0


def catch_up(breaker: CircuitBreaker) -> None:
    """Use the breaker until Redis has answered it again."""
    for _ in range(2000):
        if breaker.get_metrics().get("redis_available", True):
            return
    raise AssertionError("Redis never answered again")


@pytest.mark.parametrize("act", ["force_open", "force_close", "disable", "enable"])
def test_act_whose_reply_is_lost_is_one_event(
    breaker: CircuitBreaker, proxy: CuttingProxy, redis: Redis, act: str
) -> None:
    """A manual act whose reply is lost is one event, and no error claims that it changed nothing."""
    circuit = CircuitInRedis(redis)
    events = len(circuit.events())
    proxy.lose_reply_to("control")

    told = ""
    try:
        getattr(breaker, act)("reason")
    except SharedBreakerError as error:
        told = str(error)

    assert proxy.lost == 1
    assert [event["why"] for event in circuit.events()[events:]] == [act]
    assert "nothing was changed" not in told.lower()


def test_declaration_whose_reply_is_lost_is_one_event(proxy: CuttingProxy, redis: Redis) -> None:
    """A first call whose declaration was not answered is made, with one declaration in the events."""
    warm(new_breaker(proxy.url, name="other"))
    breaker = new_breaker(proxy.url, redis_retry_interval=0.001)
    proxy.lose_reply_to("declare")

    succeed(breaker)
    catch_up(breaker)
    succeed(breaker)

    circuit = CircuitInRedis(redis)
    assert [event["why"] for event in circuit.events() if event["why"] == "declared"] == ["declared"]
    assert redis.sismember(circuit.registry_key, "orders")
    assert circuit.number("successful_calls") == 2
