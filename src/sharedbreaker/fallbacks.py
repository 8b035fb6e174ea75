"""What answers a caller where the service did not: a function that is called with the error.

It is the caller's business and not the circuit's: when it runs, the call has been reported, and what it
returns or raises is told to nobody.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from types import CodeType
from typing import Any

from sharedbreaker.callables import Kind, kind_of

Fallback = Callable[[Exception], Any]
FallsBackOn = Callable[[Exception], bool]
"""Says whether an error means that the service did not answer."""

KEYWORD = "fallback"
_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_SERVED = (Kind.PLAIN, Kind.COROUTINE)


def with_fallback(
    guarded: Callable[..., Any], falls_back_on: FallsBackOn, fallback: Fallback
) -> Callable[..., Any]:
    """Return ``guarded`` with what ``fallback`` makes of the error in place of each that counts."""

    def answered(*args: Any, **kwargs: Any) -> Any:
        try:
            return guarded(*args, **kwargs)
        except Exception as error:
            if not falls_back_on(error):
                raise
            return fallback(error)

    return answered


def with_async_fallback(
    guarded: Callable[..., Awaitable[Any]], falls_back_on: FallsBackOn, fallback: Fallback
) -> Callable[..., Any]:
    """Return the same for a coroutine function. What the fallback gives is awaited where that is possible."""

    async def answered(*args: Any, **kwargs: Any) -> Any:
        try:
            return await guarded(*args, **kwargs)
        except Exception as error:
            if not falls_back_on(error):
                raise
            answer = fallback(error)
            return await answer if inspect.isawaitable(answer) else answer

    return answered


def take_fallback(name: str, func: Callable[..., Any], kwargs: dict[str, Any]) -> Any:
    """Take the fallback out of what ``call`` was given; raise TypeError where ``func`` may be meant."""
    if _takes_fallback(func):
        raise TypeError(
            f"circuit {name!r}: {func!r} has a parameter {KEYWORD!r} of its own, and call would keep that "
            f"argument; hand in functools.partial(func, {KEYWORD}=...), or use the decorator circuit_breaker"
        )
    return kwargs.pop(KEYWORD)


def check_fallback(name: str, func: object, kind: Kind, fallback: object, accepted: tuple[Kind, ...]) -> None:
    """Raise TypeError unless ``fallback`` can answer for ``func``, which is of the kind ``kind``."""
    if kind not in _SERVED:
        raise TypeError(
            f"circuit {name!r}: {func!r} is of the kind {kind.value!r}, and takes no {KEYWORD}: by the time "
            "it fails, what came out of it has been used; catch the error where it is used"
        )
    if not callable(fallback):
        raise TypeError(
            f"circuit {name!r}: {KEYWORD} must be a function that takes the error, not {fallback!r}"
        )
    kind = kind_of(fallback)
    if kind not in accepted:
        kinds = " or ".join(each.value for each in accepted)
        raise TypeError(
            f"circuit {name!r}: {KEYWORD} must be a {kinds} that takes the error; {fallback!r} is of the "
            f"kind {kind.value!r}"
        )


def _takes_fallback(func: Any) -> bool:
    while isinstance(func, functools.partial):
        if KEYWORD in func.keywords:
            return False
        func = func.func
    code = getattr(func, "__code__", None)
    if type(code) is CodeType and not func.__dict__:
        by_keyword = code.co_varnames[code.co_posonlyargcount : code.co_argcount + code.co_kwonlyargcount]
        return KEYWORD in by_keyword
    try:
        parameters = inspect.signature(func).parameters
    except (TypeError, ValueError):  # of some that are written in C nobody knows
        return False
    return KEYWORD in parameters and parameters[KEYWORD].kind in _BY_KEYWORD
