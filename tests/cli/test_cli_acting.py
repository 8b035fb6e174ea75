"""hold-open, close, disable, enable and forget: by hand, with who and why, without the app's code."""

from __future__ import annotations

import pytest
from redis import Redis
from verbs import CommandLine, breaker_at, fail
from verbs import command as command

from sharedbreaker import CircuitBreaker, CircuitBreakerError


@pytest.fixture
def orders(command: CommandLine) -> CircuitBreaker:
    return breaker_at(command.url, "orders", failure_threshold=7)


def test_hold_and_let_go(command: CommandLine, orders: CircuitBreaker) -> None:
    """hold-open rejects every process' calls until close, and the settings stay as declared."""
    ran = command("hold-open", "orders", "--reason", "their incident", "--who", "ann")
    assert (ran.exit_code, ran.out) == (0, "orders: held open, until: let go\n")
    with pytest.raises(CircuitBreakerError, match="held open"):
        orders.call(int)
    metrics = orders.get_metrics()
    assert (metrics["held_by"], metrics["held_reason"]) == ("ann", "their incident")

    assert command("close", "orders").out == "orders: closed\n"
    orders.call(int)
    assert orders.get_metrics()["failure_threshold"] == 7


@pytest.mark.parametrize(("words", "seconds"), [("90", 90), ("10m", 600), ("1.5h", 5400), ("2d", 172_800)])
def test_hold_for_a_time(command: CommandLine, orders: CircuitBreaker, words: str, seconds: int) -> None:
    """`--for` takes seconds or a time with its unit, and the circuit is open for so long."""
    shown = command("hold-open", "orders", "--for", words, "--json").json

    assert shown["mode"] == "held_open"
    assert shown["open_until"] - shown["held_at"] == pytest.approx(seconds)


@pytest.mark.parametrize("words", ["soon", "10 minutes", "-5", "0", "1e9d"])
def test_time_that_is_none_holds_nothing(command: CommandLine, orders: CircuitBreaker, words: str) -> None:
    """A time that makes no sense is 2, says what a time looks like or may be, and changes nothing."""
    ran = command("hold-open", "orders", f"--for={words}")

    assert ran.exit_code == 2
    assert "time" in ran.err or "seconds" in ran.err
    assert orders.get_metrics()["mode"] == "automatic"


def test_disable_and_enable(command: CommandLine, orders: CircuitBreaker) -> None:
    """While disabled nothing opens the circuit; enabled again, the threshold does."""
    assert command("disable", "orders").out == "orders: disabled\n"
    fail(orders, 8)
    assert orders.get_state()["state"] == "closed"

    assert command("enable", "orders").out == "orders: closed\n"
    fail(orders, 7)
    assert orders.get_state()["state"] == "open"


def test_who_asked_is_in_the_events(command: CommandLine, orders: CircuitBreaker) -> None:
    """Without --who an act is by the login and the host."""
    command("hold-open", "orders")

    (event,) = command("history", "orders", "--limit", "1", "--json").json
    assert event["why"] == "force_open"
    assert "@" in event["who"]


def test_forget_removes_every_key_and_the_name(
    command: CommandLine, orders: CircuitBreaker, redis: Redis
) -> None:
    """No key is left by forget --yes, and the next call of a process starts anew and is listed again."""
    fail(orders, 7)

    ran = command("forget", "orders", "--yes")

    assert (ran.exit_code, ran.out) == (0, "orders: forgotten\n")
    assert redis.dbsize() == 0
    orders.call(int)
    assert orders.get_metrics()["total_calls"] == 1
    assert redis.smembers("sharedbreaker:breakers") == {"orders"}


@pytest.mark.parametrize(("typed", "is_there"), [("y\n", False), ("n\n", True), ("", True)])
def test_forget_asks_first(
    command: CommandLine, orders: CircuitBreaker, redis: Redis, typed: str, is_there: bool
) -> None:
    """Without --yes forget asks; no, and nobody there to answer, keep the circuit, by 1."""
    ran = command("forget", "orders", typed=typed)

    assert redis.exists("sharedbreaker:{orders}") == is_there
    assert ran.exit_code == int(is_there)


def test_forget_refuses_while_calls_are_in_flight(
    command: CommandLine, orders: CircuitBreaker, redis: Redis
) -> None:
    """With a call in flight forget is refused, by 1 and with the number; --force forgets all the same."""
    with orders:
        ran = command("forget", "orders", "--yes", "--json")
        assert (ran.exit_code, ran.json["error"]) == (1, "failed")
        assert "1 calls are in flight" in ran.err
        assert redis.exists("sharedbreaker:{orders}")

        assert command("forget", "orders", "--yes", "--force").exit_code == 0
        assert redis.dbsize() == 0

    assert orders.call(lambda: "on") == "on"


def test_forget_clears_what_is_left_in_the_list(command: CommandLine, redis: Redis) -> None:
    """A name without a circuit is forgotten too; a second time there is nothing to forget."""
    redis.sadd("sharedbreaker:breakers", "old")
    redis.zadd("sharedbreaker:{old}:leases", {"dead": 1})

    assert command("forget", "old", "--yes").exit_code == 0
    assert redis.dbsize() == 0
    assert command("forget", "old", "--yes").exit_code == 6


def test_forget_removes_what_is_in_the_place_of_a_circuit(command: CommandLine, redis: Redis) -> None:
    """Keys of other types in the places of a circuit are no obstacle."""
    redis.set("sharedbreaker:{orders}", "a string")
    redis.set("sharedbreaker:{orders}:leases", "a string")

    assert command("forget", "orders", "--yes").exit_code == 0
    assert redis.dbsize() == 0


def test_observe_and_enforce(command: CommandLine, orders: CircuitBreaker) -> None:
    """While observed nothing is rejected though it opens; enforced, the next call is."""
    orders.call(int)
    assert command("observe", "orders", "--reason", "trying it out").out == "orders: closed, observed\n"
    fail(orders, 8)
    orders.call(int)
    assert command("status", "orders", "--json").json["circuits"][0]["observed_rejections"] == 2

    assert command("enforce", "orders").out.startswith("orders: open, until: ")
    with pytest.raises(CircuitBreakerError):
        orders.call(int)
    assert "trying it out" in command("history", "orders").out


def test_lone_reporter_is_named(command: CommandLine) -> None:
    """Where failures of one process do not open the circuit, the list of circuits says whose they are."""
    breaker = breaker_at(command.url, "orders", failure_threshold=2, minimum_reporters=2)
    fail(breaker, 3)

    assert f"failures in {breaker.get_metrics()['last_failure_by']} alone" in command("show", "orders").out
