"""Calls that come to something, and what they come to under a breaker."""

from __future__ import annotations

import pytest

from sharedbreaker import CircuitBreaker, CircuitBreakerError


class ServiceDownError(Exception):
    """What the guarded service raises when it fails."""


class BadRequestError(Exception):
    """What the guarded service raises when its caller is wrong."""


def work() -> str:
    return "done"


def service_down() -> str:
    raise ServiceDownError("503")


def bad_request() -> str:
    raise BadRequestError("400")


def succeed(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        assert breaker.call(work) == "done"


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(ServiceDownError):
            breaker.call(service_down)


def be_ignored(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(BadRequestError):
            breaker.call(bad_request)


def be_rejected(breaker: CircuitBreaker, times: int = 1) -> CircuitBreakerError:
    for _ in range(times):
        with pytest.raises(CircuitBreakerError) as caught:
            breaker.call(work)
    return caught.value
