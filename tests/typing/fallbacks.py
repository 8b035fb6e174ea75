"""What mypy and pyright see of calls with a fallback: the result is what either of the two gives.

As ``callables.py``, it is read and not run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from typing_extensions import assert_type

from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, CircuitBreakerError, circuit_breaker

breaker = CircuitBreaker()
async_breaker = AsyncCircuitBreaker()


def cached(error: Exception) -> bytes:
    return str(error).encode()


async def cached_async(error: Exception) -> bytes:
    return cached(error)


def nothing(error: Exception) -> None: ...


def wait(error: CircuitBreakerError) -> float | None:
    return error.retry_after


def ask_plainly(prompt: str) -> str:
    return prompt


async def ask_plainly_async(prompt: str) -> str:
    return prompt


@circuit_breaker(breaker, fallback=cached)
def ask(prompt: str, *, times: int = 1) -> str:
    return prompt * times


@circuit_breaker(async_breaker, fallback=cached)
async def ask_async(prompt: str, *, times: int = 1) -> str:
    return prompt * times


@circuit_breaker(async_breaker, fallback=cached_async)
async def ask_async_twice(prompt: str, *, times: int = 1) -> str:
    return prompt * times


class Client:
    @circuit_breaker(breaker, fallback=nothing)
    def ask(self, prompt: str) -> str:
        return prompt


def decorated(client: Client) -> None:
    assert_type(ask("why", times=2), str | bytes)
    assert_type(client.ask("why"), str | None)
    assert_type(circuit_breaker(breaker, fallback=str)(ask_plainly)("why"), str)
    assert_type(circuit_breaker(breaker, fallback=None)(ask_plainly)("why"), str)


async def decorated_async() -> None:
    assert_type(await ask_async("why", times=2), str | bytes)
    assert_type(await ask_async_twice("why", times=2), str | bytes)


def called(maybe: Callable[[Exception], bytes] | None) -> None:
    assert_type(breaker.call(ask_plainly, "why", fallback=cached), str | bytes)
    assert_type(breaker.call(ask_plainly, "why", fallback=nothing), str | None)
    assert_type(breaker.call(partial(ask_plainly, "why"), fallback=cached), str | bytes)
    assert_type(breaker.call(ask_plainly, "why", fallback=maybe), str | bytes)


async def called_async(maybe: Callable[[Exception], bytes] | None) -> None:
    assert_type(await async_breaker.call(ask_plainly_async, "why", fallback=cached), str | bytes)
    assert_type(await async_breaker.call(ask_plainly_async, "why", fallback=cached_async), str | bytes)
    assert_type(await async_breaker.call(ask_plainly_async, "why", fallback=nothing), str | None)
    assert_type(await async_breaker.call(ask_plainly_async, "why", fallback=maybe), str | bytes)


async def refused() -> None:
    ask(1)  # type: ignore[arg-type]
    await ask_async(1)  # type: ignore[arg-type]
    circuit_breaker(breaker, fallback=wait)  # type: ignore[arg-type]
    circuit_breaker(breaker, fallback="text")  # type: ignore[call-overload]
    circuit_breaker(async_breaker, fallback=wait)  # type: ignore[arg-type]
    circuit_breaker(async_breaker, fallback=cached)(ask_plainly)  # type: ignore[arg-type]
    breaker.call(ask_plainly, "why", fallback=wait)  # type: ignore[arg-type]
    await async_breaker.call(ask_plainly_async, "why", fallback=wait)  # type: ignore[arg-type]
