"""What a callable is: whether it returns its result, or something that yields it later."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import CodeType
from typing import Any, NoReturn

_COROUTINE_FLAGS = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE


class PlainFunctionError(TypeError):
    """A function was guarded that returns its result at once. It says nothing about the service."""


def refuse_coroutine_function(func: Callable[..., Any]) -> None:
    """Raise TypeError for a coroutine function: its outcome is known only to whoever awaits it."""
    code = getattr(func, "__code__", None)
    if type(code) is CodeType and not code.co_flags & _COROUTINE_FLAGS and not func.__dict__:
        return  # a plain function that stands for no other, as most are
    if is_coroutine_function(func):
        raise TypeError(
            f"{func!r} is a coroutine function, and CircuitBreaker would count it as a success before it "
            "has run; CircuitBreaker serves plain functions"
        )


def refuse_plain_function(name: str, func: object) -> NoReturn:
    """Raise TypeError for what returns its result at once: in an event loop it blocks all others."""
    raise PlainFunctionError(
        f"circuit {name!r}: {func!r} is no coroutine function, nor did it return an awaitable; "
        "AsyncCircuitBreaker serves coroutine functions, CircuitBreaker plain ones"
    )


def is_coroutine_function(func: Callable[..., Any]) -> bool:
    """Return whether calling ``func`` gives a coroutine, also through partials, wrappers and ``__call__``."""
    try:
        unwrapped = inspect.unwrap(func)
    except ValueError:  # it says that it wraps itself, or something without end
        unwrapped = func
    return inspect.iscoroutinefunction(unwrapped) or inspect.iscoroutinefunction(
        getattr(unwrapped, "__call__", None)  # noqa: B004 - the method is wanted, not the answer
    )
