"""The decorator: a callable that always runs under its breaker."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from sharedbreaker.async_breaker import AsyncCircuitBreaker
from sharedbreaker.breaker import CircuitBreaker
from sharedbreaker.callables import kind_of
from sharedbreaker.fallbacks import Fallback

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F")
F_co = TypeVar("F_co", covariant=True)
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


class AsyncFallbackDecorator(Protocol[F_co]):
    """What ``circuit_breaker`` returns for an AsyncCircuitBreaker and a fallback."""

    def __call__(self, func: Callable[P, Awaitable[R]], /) -> Callable[P, Coroutine[Any, Any, R | F_co]]:
        """Return ``func`` under the breaker, with the fallback behind it."""


class FallbackDecorator(Protocol[F_co]):
    """What ``circuit_breaker`` returns for a CircuitBreaker and a fallback."""

    def __call__(self, func: Callable[P, R], /) -> Callable[P, R | F_co]:
        """Return ``func`` under the breaker, with the fallback behind it."""


@overload
def circuit_breaker(breaker: CircuitBreaker, *, fallback: None = None) -> Decorator: ...
@overload
def circuit_breaker(breaker: AsyncCircuitBreaker, *, fallback: None = None) -> AsyncDecorator: ...
@overload
def circuit_breaker(
    breaker: CircuitBreaker, *, fallback: Callable[[Exception], F]
) -> FallbackDecorator[F]: ...
@overload
def circuit_breaker(
    breaker: AsyncCircuitBreaker, *, fallback: Callable[[Exception], Awaitable[F]]
) -> AsyncFallbackDecorator[F]: ...
@overload
def circuit_breaker(
    breaker: AsyncCircuitBreaker, *, fallback: Callable[[Exception], F]
) -> AsyncFallbackDecorator[F]: ...
def circuit_breaker(
    breaker: CircuitBreaker | AsyncCircuitBreaker, *, fallback: Callable[[Exception], Any] | None = None
) -> Any:
    """Return a decorator that sends every call of a callable through ``breaker``.

    A CircuitBreaker takes plain functions, generator functions and what ``contextlib.contextmanager`` makes.
    An AsyncCircuitBreaker takes coroutine functions, async generator functions and what
    ``contextlib.asynccontextmanager`` makes. Each stays what it is, with its signature and its type.

    ``fallback(error)`` answers where the service did not; ``CircuitBreaker.call`` says when that is. None,
    the default, means that nothing does. It is for plain functions and coroutine functions.

    Raises:
        TypeError: where it is applied to what the other breaker takes, ``breaker`` is neither, or
            ``fallback`` makes no sense.

    """
    if isinstance(breaker, (CircuitBreaker, AsyncCircuitBreaker)):
        return functools.partial(_guard, breaker, fallback)
    raise TypeError(f"circuit_breaker takes a CircuitBreaker or an AsyncCircuitBreaker, not {breaker!r}")


def _guard(
    breaker: CircuitBreaker | AsyncCircuitBreaker, fallback: Fallback | None, func: Callable[..., Any]
) -> Callable[..., Any]:
    kind = kind_of(func)
    if fallback is None:
        return _like(func, breaker._guarded(func, kind))  # noqa: SLF001
    return _like(func, breaker._guarded_with_fallback(func, kind, fallback))  # noqa: SLF001


def _like(func: Callable[..., Any], guarded: Callable[P, R]) -> Callable[P, R]:
    # A remote proxy answers with whatever it likes when asked for its name.
    with contextlib.suppress(TypeError):
        functools.update_wrapper(guarded, func)
    return guarded
