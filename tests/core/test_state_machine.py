"""Closed and open: the state machine as a caller of the breaker sees it."""

from __future__ import annotations

import pytest
from redis import Redis

from circuit_in_redis import (
    OPEN_MS,
    CircuitInRedis,
    ServiceDownError,
    be_ignored,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    trip,
)
from sharedbreaker import CircuitState


def test_new_circuit_is_closed(redis: Redis) -> None:
    """A circuit that nobody has called is closed and has counted nothing."""
    state = new_breaker(redis).get_state()

    assert state == {
        "name": "orders",
        "state": "closed",
        "failure_count": 0,
        "success_count": 0,
        "last_failure_time": None,
    }


def test_call_returns_what_the_function_returns(redis: Redis) -> None:
    """A call in closed hands its arguments on and returns the function's own result."""
    result = object()

    returned = new_breaker(redis).call(lambda *args, **kwargs: (result, args, kwargs), 1, 2, key="word")

    assert returned == (result, (1, 2), {"key": "word"})


def test_arguments_named_like_the_breakers_own_reach_the_function(redis: Redis) -> None:
    """A keyword called func or self belongs to the function, not to the breaker."""
    returned = new_breaker(redis).call(dict, func=1, self=2)

    assert returned == {"func": 1, "self": 2}


def test_one_failure_fewer_than_the_threshold_leaves_it_closed(redis: Redis) -> None:
    """Failures below failure_threshold are counted and open nothing."""
    breaker = new_breaker(redis, failure_threshold=4)

    fail(breaker, 3)

    assert breaker.get_state()["state"] == "closed"
    assert breaker.get_state()["failure_count"] == 3
    succeed(breaker)


def test_failures_at_the_threshold_open_it(redis: Redis) -> None:
    """The failure that reaches failure_threshold opens the circuit, once."""
    breaker = new_breaker(redis, failure_threshold=4)

    fail(breaker, 4)

    assert breaker.get_state()["state"] == "open"
    assert CircuitInRedis(redis).transitions() == {"closed_to_open": 1}


def test_threshold_of_one_opens_at_the_first_failure(redis: Redis) -> None:
    """With failure_threshold 1 a single failure opens the circuit."""
    breaker = new_breaker(redis, failure_threshold=1)

    fail(breaker)

    assert be_rejected(breaker).state is CircuitState.OPEN


def test_success_resets_the_failure_count(redis: Redis) -> None:
    """A success in closed sets failure_count to 0, so that only failures in a row count."""
    breaker = new_breaker(redis)

    fail(breaker, 2)
    succeed(breaker)

    assert breaker.get_state()["failure_count"] == 0


def test_failures_that_successes_interrupt_never_open_it(redis: Redis) -> None:
    """Many failures with a success between every two below the threshold leave the circuit closed."""
    breaker = new_breaker(redis)

    for _ in range(5):
        fail(breaker, 2)
        succeed(breaker)

    assert breaker.get_state()["state"] == "closed"
    assert CircuitInRedis(redis).number("failed_calls") == 10


def test_ignored_calls_do_not_reset_the_failure_count(redis: Redis) -> None:
    """An ignored exception between failures neither counts nor resets."""
    breaker = new_breaker(redis)

    fail(breaker, 2)
    be_ignored(breaker)
    fail(breaker)

    assert breaker.get_state()["state"] == "open"


def test_failures_count_over_all_breakers_of_the_name(redis: Redis) -> None:
    """Failures seen by different breaker objects of one name add up to one threshold."""
    breakers = [new_breaker(redis) for _ in range(3)]

    for breaker in breakers:
        fail(breaker)

    for breaker in breakers:
        be_rejected(breaker)


def test_circuits_of_other_names_do_not_notice(redis: Redis) -> None:
    """A circuit that opens leaves every other circuit closed."""
    vision, text = new_breaker(redis, name="vision"), new_breaker(redis, name="text")

    trip(vision, redis, "vision")

    succeed(text)
    assert text.get_state()["state"] == "closed"


def test_open_circuit_does_not_run_the_function(redis: Redis) -> None:
    """While it is open the function of a rejected call is not run."""
    breaker = new_breaker(redis)
    circuit = trip(breaker, redis)

    for _ in range(3):
        be_rejected(breaker)

    assert circuit.number("successful_calls") == 0
    assert circuit.number("rejected_calls") == 3


def test_open_lasts_until_open_until(redis: Redis) -> None:
    """open_until is the moment of opening plus the timeout, and until then calls are rejected."""
    breaker = new_breaker(redis)
    circuit = trip(breaker, redis)

    assert circuit.number("open_until") - circuit.number("opened_at") == OPEN_MS
    circuit.elapse(OPEN_MS // 2)
    be_rejected(breaker)
    assert circuit.field("state") == "open"


def test_rejections_do_not_extend_the_open_period(redis: Redis) -> None:
    """Calls that are rejected leave opened_at and open_until as they are."""
    breaker = new_breaker(redis)
    circuit = trip(breaker, redis)
    before = circuit.state_and_counts()

    for _ in range(5):
        be_rejected(breaker)

    assert circuit.state_and_counts() == before


def test_every_transition_takes_a_higher_epoch(redis: Redis) -> None:
    """The epoch is strictly higher after each transition, and stays as it is without one."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)
    succeed(breaker)
    epochs = [circuit.number("epoch")]

    fail(breaker, 2)
    assert circuit.number("epoch") == epochs[-1]
    fail(breaker)
    epochs.append(circuit.number("epoch"))
    circuit.elapse(OPEN_MS)
    succeed(breaker)
    epochs.append(circuit.number("epoch"))
    succeed(breaker)
    epochs.append(circuit.number("epoch"))

    assert epochs == sorted(set(epochs))


def test_tripping_failure_is_named_in_the_hash_and_the_event(redis: Redis) -> None:
    """The type of the exception that tripped the circuit is in hash and event, its message nowhere."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)

    def down() -> None:
        raise ServiceDownError("a prompt")

    for _ in range(3):
        with pytest.raises(ServiceDownError):
            breaker.call(down)

    event = circuit.events()[-1]

    assert (event["from"], event["to"], event["exception"]) == ("closed", "open", "ServiceDownError")
    assert circuit.field("last_failure_type") == "ServiceDownError"
    assert "a prompt" not in str(circuit.events()) + str(circuit.fields())


def test_last_failure_time_is_unix_seconds_of_the_last_failure(redis: Redis) -> None:
    """get_state tells when the last failure was, by Redis' clock, in seconds."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)
    before_ms = circuit.now_ms()

    fail(breaker)

    last = breaker.get_state()["last_failure_time"]
    assert before_ms / 1000 <= last <= circuit.now_ms() / 1000
