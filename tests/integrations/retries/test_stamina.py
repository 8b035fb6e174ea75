"""stamina around a breaker: when a rejection is retried, and when it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import stamina
from redis import Redis
from retried_service import Service, new_async_breaker, new_breaker

from guarded_calls import BadRequestError, ServiceDownError
from sharedbreaker import CircuitBreakerError, CircuitState, circuit_breaker
from sharedbreaker.integrations.stamina import rejection_or

QUICKLY: dict[str, Any] = {"wait_initial": 0, "wait_jitter": 0, "wait_max": 0}


def test_a_rejection_is_retried_when_its_time_has_come_and_not_before(redis: Redis) -> None:
    """A retry that runs into an open circuit waits it out: one rejection, and the next try is a probe."""
    breaker, service = new_breaker(redis), Service(failures=2)

    @stamina.retry(on=rejection_or(ServiceDownError), **QUICKLY)
    @circuit_breaker(breaker)
    def ask() -> str:
        return service.ask()

    assert ask() == "done"
    metrics = breaker.get_metrics()
    assert service.calls == 3
    assert metrics["failed_calls"] == 2
    assert metrics["rejected_calls"] == 1
    assert metrics["state"] == "closed"


def test_a_rejection_is_retried_in_an_event_loop_as_well(redis: Redis) -> None:
    """The same around an AsyncCircuitBreaker."""
    breaker, service = new_async_breaker(redis), Service(failures=2)

    @stamina.retry(on=rejection_or(ServiceDownError), **QUICKLY)
    @circuit_breaker(breaker)
    async def ask() -> str:
        return await service.ask_async()

    async def whole() -> dict[str, Any]:
        assert await ask() == "done"
        return await breaker.get_metrics()

    metrics = asyncio.run(whole())
    assert service.calls == 3
    assert metrics["failed_calls"] == 2
    assert metrics["rejected_calls"] == 1


def test_a_rejection_that_lasts_longer_than_stamina_waits_is_raised_at_once(redis: Redis) -> None:
    """Nobody sleeps for a minute under a timeout of 45 seconds."""
    breaker = new_breaker(redis)
    breaker.force_open(seconds=60)
    with pytest.raises(CircuitBreakerError):
        stamina.RetryingCaller()(rejection_or(ServiceDownError), breaker.call, Service(0).ask)

    assert breaker.get_metrics()["rejected_calls"] == 1


def test_stamina_alone_wastes_its_tries_on_an_open_circuit(redis: Redis) -> None:
    """Without the hook each try of the usual back-off is one more rejection: what the hook is for."""
    breaker = new_breaker(redis, timeout=60)
    with pytest.raises(CircuitBreakerError):
        stamina.RetryingCaller(**QUICKLY)(Exception, breaker.call, Service(99).ask)

    assert breaker.get_metrics()["rejected_calls"] == 8


def rejected(retry_after: float | None) -> CircuitBreakerError:
    return CircuitBreakerError("retried", CircuitState.OPEN, retry_after, "open")


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (rejected(7.5), 7.5),
        (rejected(0.0), 0.0),
        (rejected(45.0), 45.0),
        (rejected(45.001), False),
        (rejected(None), True),
        (ServiceDownError("503"), True),
        (BadRequestError("400"), False),
    ],
)
@pytest.mark.parametrize("on", [ServiceDownError, (KeyError, ServiceDownError)], ids=["class", "classes"])
def test_what_stamina_is_told(on: Any, error: Exception, answer: float | bool) -> None:
    """A rejection's own wait where it is short enough, stamina's back-off where nobody knows, or no."""
    told = rejection_or(on)(error)

    assert told == answer
    assert isinstance(told, bool) == isinstance(answer, bool)


@pytest.mark.parametrize("answer", [True, False, 3.0, timedelta(seconds=3)])
def test_a_hook_of_ones_own_decides_about_all_else(answer: Any) -> None:
    """A function is asked about what is no rejection, and its answer is handed on."""
    hook: Callable[[Exception], Any] = lambda _: answer  # noqa: E731

    assert rejection_or(hook)(ServiceDownError("503")) is answer
    assert rejection_or(hook)(rejected(7.5)) == 7.5


def test_the_longest_wait_is_the_callers_choice() -> None:
    """`longest` is in seconds, and the wait itself is not cut."""
    assert rejection_or(ServiceDownError, longest=120)(rejected(120)) == 120
    assert rejection_or(ServiceDownError, longest=5)(rejected(7.5)) is False
