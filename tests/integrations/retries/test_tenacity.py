"""tenacity around a breaker: who counts what, and when a rejection is retried."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis import Redis
from retried_service import TIMEOUT_SECONDS, Service, new_async_breaker, new_breaker
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_type,
    retry_if_not_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_before_delay,
    wait_fixed,
    wait_none,
)

from guarded_calls import ServiceDownError
from sharedbreaker import CircuitBreakerError, CircuitState, circuit_breaker
from sharedbreaker.integrations.tenacity import wait_retry_after

BOTH = retry_if_exception_type((ServiceDownError, CircuitBreakerError))


def quickly(**others: Any) -> dict[str, Any]:
    return {
        "retry": BOTH,
        "wait": wait_retry_after(wait_none()),
        "stop": stop_after_attempt(9),
        "reraise": True,
        **others,
    }


def test_a_rejection_is_retried_when_its_time_has_come_and_not_before(redis: Redis) -> None:
    """A retry that runs into an open circuit waits it out: one rejection, and the next try is a probe."""
    breaker, service = new_breaker(redis), Service(failures=2)

    assert Retrying(**quickly())(circuit_breaker(breaker)(service.ask)) == "done"

    metrics = breaker.get_metrics()
    assert service.calls == 3
    assert metrics["failed_calls"] == 2
    assert metrics["rejected_calls"] == 1
    assert metrics["state"] == "closed"


def test_a_rejection_is_retried_in_an_event_loop_as_well(redis: Redis) -> None:
    """The same around an AsyncCircuitBreaker."""
    breaker, service = new_async_breaker(redis), Service(failures=2)

    async def whole() -> dict[str, Any]:
        assert await AsyncRetrying(**quickly())(circuit_breaker(breaker)(service.ask_async)) == "done"
        return await breaker.get_metrics()

    metrics = asyncio.run(whole())
    assert service.calls == 3
    assert metrics["failed_calls"] == 2
    assert metrics["rejected_calls"] == 1


def test_each_try_is_a_call_of_the_breaker(redis: Redis) -> None:
    """With the breaker inside, an opening ends what one caller sends to a service that is down."""
    breaker, service = new_breaker(redis, timeout=60), Service(failures=99)
    with pytest.raises(CircuitBreakerError):
        Retrying(**quickly(wait=wait_none()))(circuit_breaker(breaker)(service.ask))

    assert service.calls == 2
    assert breaker.get_metrics()["failed_calls"] == 2
    assert breaker.get_metrics()["rejected_calls"] == 7


def test_the_other_order_hides_failures(redis: Redis) -> None:
    """With the retry inside, all tries are one call, and a service that is down gets every one of them."""
    breaker, service = new_breaker(redis), Service(failures=99)
    with pytest.raises(ServiceDownError):
        breaker.call(Retrying(**quickly(wait=wait_none())), service.ask)

    assert service.calls == 9
    assert breaker.get_metrics()["failed_calls"] == 1


def test_a_caller_in_a_hurry_does_not_wait_for_a_circuit(redis: Redis) -> None:
    """A retry that leaves rejections alone raises them at once."""
    breaker, service = new_breaker(redis, timeout=60), Service(failures=99)
    hurry = quickly(retry=retry_if_not_exception_type(CircuitBreakerError))
    with pytest.raises(CircuitBreakerError) as caught:
        Retrying(**hurry)(circuit_breaker(breaker)(service.ask))

    assert service.calls == 2
    assert caught.value.retry_after is not None


def test_a_retry_ends_before_a_wait_that_is_too_long(redis: Redis) -> None:
    """`stop_before_delay` sees the circuit's wait, and nobody sleeps in vain."""
    breaker = new_breaker(redis)
    breaker.force_open(seconds=60)
    sleeps: list[float] = []
    patience = quickly(stop=stop_before_delay(30), sleep=sleeps.append)
    with pytest.raises(CircuitBreakerError):
        Retrying(**patience)(circuit_breaker(breaker)(Service(0).ask))

    assert sleeps == []


def test_a_fallback_inside_a_retry_leaves_nothing_to_retry(redis: Redis) -> None:
    """What a fallback returns is an answer: it goes outside the retry."""
    breaker, service = new_breaker(redis), Service(failures=1)

    inside = circuit_breaker(breaker, fallback=lambda error: "instead")(service.ask)
    assert Retrying(**quickly())(inside) == "instead"
    assert service.calls == 1

    other, down = new_breaker(redis, name="other"), Service(failures=99)
    outside = Retrying(
        **quickly(
            stop=stop_after_attempt(2),
            retry_error_callback=lambda state: f"instead of {type(state.outcome.exception()).__name__}",
        )
    )
    assert outside(circuit_breaker(other)(down.ask)) == "instead of ServiceDownError"
    assert down.calls == 2


def rejected(retry_after: float | None) -> CircuitBreakerError:
    return CircuitBreakerError("retried", CircuitState.OPEN, retry_after, "open")


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (rejected(7.5), 7.5),
        (rejected(0.25), 2),
        (rejected(None), 2),
        (ServiceDownError("503"), 2),
    ],
    ids=["longer", "shorter", "unknown", "failure"],
)
def test_the_wait_is_the_longer_of_two(error: Exception, seconds: float) -> None:
    """A rejection waits for its circuit and never less than usual; everything else as usual."""
    state = RetryCallState(Retrying(), None, (), {})
    state.set_exception((type(error), error, None))

    assert wait_retry_after(wait_fixed(2))(state) == seconds
    assert (wait_retry_after(wait_fixed(2)) + wait_fixed(1))(state) == seconds + 1
    assert wait_retry_after(lambda _: 2)(state) == seconds


def test_a_result_that_is_retried_waits_as_usual() -> None:
    """Where a retry is about results there is no error to look at."""
    sleeps: list[float] = []
    retrying = Retrying(
        retry=retry_if_result(lambda answer: answer == ""),
        wait=wait_retry_after(wait_fixed(TIMEOUT_SECONDS)),
        stop=stop_after_attempt(2),
        sleep=sleeps.append,
    )
    with pytest.raises(RetryError):
        retrying(str)

    assert sleeps == [TIMEOUT_SECONDS]
