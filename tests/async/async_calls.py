"""What the tests of the async breaker share: a small one, and calls that come to something under it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from circuit_in_redis import LEASE_MS, NAME, OPEN_MS, PROBE_MS, CircuitInRedis
from guarded_calls import BadRequestError, ServiceDownError
from sharedbreaker import AsyncCircuitBreaker, CircuitBreakerError

PATIENCE_SECONDS = 20.0
POLL_SECONDS = 0.005


def new_breaker(redis: Any, **settings: Any) -> AsyncCircuitBreaker:
    """A breaker with thresholds that are quickly reached and times that no test reaches by itself."""
    defaults: dict[str, Any] = {
        "name": NAME,
        "failure_threshold": 3,
        "success_threshold": 2,
        "timeout": OPEN_MS / 1000,
        "probe_timeout": PROBE_MS / 1000,
        "lease_timeout": LEASE_MS / 1000,
        "expected_exception": ServiceDownError,
        "redis_timeout": 5,
    }
    return AsyncCircuitBreaker(redis=redis, **{**defaults, **settings})


async def work() -> str:
    await asyncio.sleep(0)
    return "done"


async def service_down() -> str:
    await asyncio.sleep(0)
    raise ServiceDownError("503")


async def bad_request() -> str:
    await asyncio.sleep(0)
    raise BadRequestError("400")


async def succeed(breaker: AsyncCircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        assert await breaker.call(work) == "done"


async def fail(breaker: AsyncCircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(ServiceDownError):
            await breaker.call(service_down)


async def be_rejected(breaker: AsyncCircuitBreaker) -> CircuitBreakerError:
    with pytest.raises(CircuitBreakerError) as caught:
        await breaker.call(work)
    return caught.value


async def hold(inside: asyncio.Event | None = None) -> None:
    """A call that ends only by being given up."""
    if inside is not None:
        inside.set()
    await asyncio.get_running_loop().create_future()


def wait_until(holds: Callable[[], object], what: str) -> None:
    """Poll from a thread until ``holds`` says something true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"did not come about in {PATIENCE_SECONDS} s: {what}"
        time.sleep(POLL_SECONDS)


def wait_until_settled(breaker: AsyncCircuitBreaker) -> None:
    """Wait until Redis was told all that was left to a thread."""
    wait_until(breaker._store._is_settled, "Redis is told what it is owed")
    settler = breaker._store._guard._settler
    if settler is not None:
        settler.join(PATIENCE_SECONDS)


def ends_of(circuit: CircuitInRedis) -> dict[str, int]:
    """The tallies that are not zero."""
    return {name: count for name, count in circuit.tallies().items() if count} if circuit.fields() else {}


class Phase:
    """How far a call has come."""

    def __init__(self, *, fails: bool = False) -> None:
        self.now = "admission"
        self._work = service_down if fails else work

    async def guarded(self) -> str:
        self.now = "call"
        try:
            result = await self._work()
        except Exception:
            self.now = "report"
            raise
        self.now = "report"
        return result
