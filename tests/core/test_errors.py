"""Errors: what they carry, how they relate, and that they travel between processes."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import redis as redis_py
from redis import Redis

import sharedbreaker
from circuit_in_redis import be_rejected, new_breaker, trip
from sharedbreaker import (
    CircuitBreakerError,
    CircuitState,
    SettingsError,
    SharedBreakerError,
    StoreError,
)

REFUSALS = [
    CircuitBreakerError("orders", CircuitState.OPEN, 12.5, "open"),
    CircuitBreakerError("orders", CircuitState.OPEN, None, "held_open"),
    CircuitBreakerError("orders", CircuitState.HALF_OPEN, 0.0, "probes_busy"),
]
OTHERS = [StoreError("no answer"), SettingsError("timeout must be"), SharedBreakerError("ours")]


def attributes(error: CircuitBreakerError) -> tuple[object, ...]:
    return type(error), str(error), error.args, error.name, error.state, error.retry_after, error.why


def refuse(number: int) -> None:
    raise REFUSALS[number]


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: error.why)
def test_refusal_says_which_circuit_and_why(error: CircuitBreakerError) -> None:
    """The message names the circuit and the reason in words."""
    assert "orders" in str(error)
    assert "open" in str(error)


def test_message_says_when_to_come_back() -> None:
    """The message has the seconds where they are known, and no None where they are not."""
    assert "12.5" in str(REFUSALS[0])
    assert "None" not in str(REFUSALS[1])


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: error.why)
def test_refusal_pickles(error: CircuitBreakerError, protocol: int) -> None:
    """A refusal is the same after pickling: class, message and every attribute."""
    travelled = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301

    assert attributes(travelled) == attributes(error)
    assert travelled.state is error.state


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: error.why)
def test_refusal_can_be_copied(error: CircuitBreakerError, copier: object) -> None:
    """Both copy and deepcopy give the same refusal."""
    assert callable(copier)
    assert attributes(copier(error)) == attributes(error)


@pytest.mark.parametrize("error", OTHERS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_other_errors_pickle(error: SharedBreakerError, protocol: int) -> None:
    """Every other error of ours keeps class and message."""
    travelled = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301

    assert (type(travelled), str(travelled)) == (type(error), str(error))


def test_refusal_keeps_what_somebody_added() -> None:
    """An attribute or a note that a user hung on the error travels with it."""
    error = CircuitBreakerError("orders", CircuitState.OPEN, 1.0, "open")
    error.request_id = "r1"  # type: ignore[attr-defined]

    travelled = pickle.loads(pickle.dumps(error))  # noqa: S301

    assert travelled.request_id == "r1"


def test_refusal_comes_back_from_a_process_pool() -> None:
    """A refusal raised in another process arrives with all that it carries."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        arrived = pool.submit(refuse, 0).exception(timeout=60)

    assert isinstance(arrived, CircuitBreakerError)
    assert attributes(arrived) == attributes(REFUSALS[0])


def test_real_rejection_pickles(redis: Redis) -> None:
    """The error that a rejected caller gets is the same after pickling."""
    breaker = new_breaker(redis)
    trip(breaker, redis)
    error = be_rejected(breaker)

    assert attributes(pickle.loads(pickle.dumps(error))) == attributes(error)  # noqa: S301


def test_all_errors_have_one_base() -> None:
    """Every exception that the package exports is a SharedBreakerError."""
    exported = [getattr(sharedbreaker, name) for name in sharedbreaker.__all__]
    errors = [entry for entry in exported if isinstance(entry, type) and issubclass(entry, BaseException)]

    assert {CircuitBreakerError, StoreError, SettingsError} <= set(errors)
    assert all(issubclass(error, SharedBreakerError) for error in errors)


def test_refusal_and_redis_failure_are_never_one_class() -> None:
    """Whoever catches refusals catches no outage of Redis, and the other way round."""
    assert not issubclass(CircuitBreakerError, StoreError)
    assert not issubclass(StoreError, CircuitBreakerError)


@pytest.mark.parametrize("ours", [CircuitBreakerError, StoreError, SettingsError, SharedBreakerError])
@pytest.mark.parametrize("transient", [ConnectionError, TimeoutError, OSError, redis_py.RedisError])
def test_no_error_of_ours_looks_like_a_transient_one(ours: type, transient: type) -> None:
    """No error of ours is retried by somebody who retries on lost connections and timeouts."""
    assert not issubclass(ours, transient)
