"""The decorator: a function that always runs under its breaker."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from sharedbreaker.async_breaker import AsyncCircuitBreaker
from sharedbreaker.breaker import CircuitBreaker
from sharedbreaker.callables import is_coroutine_function, refuse_coroutine_function, refuse_plain_function

P = ParamSpec("P")
R = TypeVar("R")


class AsyncDecorator(Protocol):
    """What ``circuit_breaker`` returns for an AsyncCircuitBreaker."""

    def __call__(self, func: Callable[P, Awaitable[R]], /) -> Callable[P, Coroutine[Any, Any, R]]:
        """Return ``func`` under the breaker."""


class Decorator(Protocol):
    """What ``circuit_breaker`` returns for a CircuitBreaker."""

    def __call__(self, func: Callable[P, R], /) -> Callable[P, R]:
        """Return ``func`` under the breaker."""


@overload
def circuit_breaker(breaker: CircuitBreaker) -> Decorator: ...
@overload
def circuit_breaker(breaker: AsyncCircuitBreaker) -> AsyncDecorator: ...
def circuit_breaker(breaker: CircuitBreaker | AsyncCircuitBreaker) -> Any:
    """Return a decorator that sends every call of a function through ``breaker``.

    Raises:
        TypeError: where it is applied to a coroutine function and ``breaker`` is a CircuitBreaker, or the
            other way round, or ``breaker`` is neither.

    """
    if isinstance(breaker, AsyncCircuitBreaker):
        return functools.partial(_guard_coroutine_function, breaker)
    if isinstance(breaker, CircuitBreaker):
        return functools.partial(_guard_function, breaker)
    raise TypeError(f"circuit_breaker takes a CircuitBreaker or an AsyncCircuitBreaker, not {breaker!r}")


def _guard_function(breaker: CircuitBreaker, func: Callable[P, R]) -> Callable[P, R]:
    refuse_coroutine_function(func)

    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        return breaker._call(func, args, kwargs)  # noqa: SLF001 - it was checked above

    return _like(func, guarded)


def _guard_coroutine_function(
    breaker: AsyncCircuitBreaker, func: Callable[P, Awaitable[R]]
) -> Callable[P, Coroutine[Any, Any, R]]:
    if not is_coroutine_function(func):
        refuse_plain_function(breaker.name, func)

    async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        return await breaker.call(func, *args, **kwargs)

    return _like(func, guarded)


def _like(func: Callable[..., Any], guarded: Callable[P, R]) -> Callable[P, R]:
    # A remote proxy answers with whatever it likes when asked for its name.
    with contextlib.suppress(TypeError):
        functools.update_wrapper(guarded, func)
    return guarded
