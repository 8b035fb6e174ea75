"""The decorator: a callable that always runs under its breaker."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from sharedbreaker.async_breaker import AsyncCircuitBreaker
from sharedbreaker.breaker import CircuitBreaker
from sharedbreaker.callables import kind_of

P = ParamSpec("P")
R = TypeVar("R")
L = TypeVar("L", bound=AsyncIterator[Any] | contextlib.AbstractAsyncContextManager[Any])


class AsyncDecorator(Protocol):
    """What ``circuit_breaker`` returns for an AsyncCircuitBreaker."""

    @overload
    def __call__(self, func: Callable[P, Awaitable[R]], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, func: Callable[P, L], /) -> Callable[P, L]: ...
    def __call__(self, func: Callable[..., Any], /) -> Callable[..., Any]:
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
    """Return a decorator that sends every call of a callable through ``breaker``.

    A CircuitBreaker takes plain functions, generator functions and what ``contextlib.contextmanager`` makes.
    An AsyncCircuitBreaker takes coroutine functions, async generator functions and what
    ``contextlib.asynccontextmanager`` makes. Each stays what it is, with its signature and its type.

    Raises:
        TypeError: where it is applied to what the other breaker takes, or ``breaker`` is neither.

    """
    if isinstance(breaker, (CircuitBreaker, AsyncCircuitBreaker)):
        return functools.partial(_guard, breaker)
    raise TypeError(f"circuit_breaker takes a CircuitBreaker or an AsyncCircuitBreaker, not {breaker!r}")


def _guard(breaker: CircuitBreaker | AsyncCircuitBreaker, func: Callable[..., Any]) -> Callable[..., Any]:
    return _like(func, breaker._guarded(func, kind_of(func)))  # noqa: SLF001


def _like(func: Callable[..., Any], guarded: Callable[P, R]) -> Callable[P, R]:
    # A remote proxy answers with whatever it likes when asked for its name.
    with contextlib.suppress(TypeError):
        functools.update_wrapper(guarded, func)
    return guarded
