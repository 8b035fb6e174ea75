"""The decorator: a function that always runs under its breaker."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from sharedbreaker.breaker import CircuitBreaker, refuse_coroutine_function

P = ParamSpec("P")
R = TypeVar("R")


def circuit_breaker(breaker: CircuitBreaker) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that sends every call of a function through ``breaker``.

    Raises:
        TypeError: where it is applied to a coroutine function, or ``breaker`` is no CircuitBreaker.

    """
    if not isinstance(breaker, CircuitBreaker):
        raise TypeError(f"circuit_breaker takes a CircuitBreaker, not {breaker!r}")

    def decorate(func: Callable[P, R]) -> Callable[P, R]:
        refuse_coroutine_function(func)

        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            return breaker._call(func, args, kwargs)  # noqa: SLF001 - it was checked above

        # A remote proxy answers with whatever it likes when asked for its name.
        with contextlib.suppress(TypeError):
            functools.update_wrapper(guarded, func)
        return guarded

    return decorate
