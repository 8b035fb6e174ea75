"""What a callable is: what calling it gives, and when that can be said to have succeeded."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from enum import Enum
from types import AsyncGeneratorType, BuiltinFunctionType, CodeType, FunctionType, GeneratorType
from typing import Any, NoReturn

if sys.version_info >= (3, 12):
    _is_coroutine_function = inspect.iscoroutinefunction
else:  # it knows also those that only say that they are, as inspect's does from 3.12 on
    _is_coroutine_function = asyncio.iscoroutinefunction

MOST_WRAPPERS = 100

ENDED: frozenset[type] = frozenset((str, bytes, int, float, bool, type(None), list, dict, tuple, set))
"""Types of most results, that need no second look."""
STREAMS: frozenset[type] = frozenset((GeneratorType, AsyncGeneratorType))
"""Types of results of which there is more to come; besides whatever can be awaited."""


class Kind(Enum):
    """What a callable gives. A value says it in words."""

    PLAIN = "plain function"
    COROUTINE = "coroutine function"
    GENERATOR = "generator function"
    ASYNC_GENERATOR = "async generator function"
    CONTEXT_MANAGER = "context manager"
    ASYNC_CONTEXT_MANAGER = "async context manager"


@contextlib.contextmanager
def _manager() -> Iterator[None]:
    yield


@contextlib.asynccontextmanager
async def _async_manager() -> AsyncIterator[None]:
    yield


# Whatever contextlib makes into a context manager runs one of these two.
_MANAGER_CODE: CodeType = _manager.__code__
_ASYNC_MANAGER_CODE: CodeType = _async_manager.__code__
_KIND_BY_FLAGS = {
    0: Kind.PLAIN,
    inspect.CO_COROUTINE: Kind.COROUTINE,
    inspect.CO_GENERATOR | inspect.CO_ITERABLE_COROUTINE: Kind.COROUTINE,
    inspect.CO_GENERATOR: Kind.GENERATOR,
    inspect.CO_ASYNC_GENERATOR: Kind.ASYNC_GENERATOR,
}
_FLAGS = functools.reduce(int.__or__, _KIND_BY_FLAGS)
_FLAGS_OF_STREAMS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def returns_at_once(func: Callable[..., Any]) -> bool:
    """Return whether ``func`` is a plain function that stands for no other, as most are. Quick."""
    code = getattr(func, "__code__", None)
    return type(code) is CodeType and not code.co_flags & _FLAGS and not func.__dict__


def may_be_awaited(func: Callable[..., Any]) -> bool:
    """Return whether ``func`` is a coroutine function, or a plain one, that stands for no other. Quick."""
    code = getattr(func, "__code__", None)
    return type(code) is CodeType and not code.co_flags & _FLAGS_OF_STREAMS and not func.__dict__


def kind_of(func: Callable[..., Any]) -> Kind:
    """Return what ``func`` gives; through partials, methods, ``__call__`` and what ``__wrapped__`` names.

    A plain function around a generator function is plain: it may as well return a list of all pieces.
    """
    level: Any = func
    is_wrapped = False
    for _ in range(MOST_WRAPPERS):
        while isinstance(level, functools.partial):
            level = level.func
        kind = _kind_by_itself(level)
        if kind is not Kind.PLAIN:
            return Kind.PLAIN if is_wrapped and kind is Kind.GENERATOR else kind
        level = getattr(level, "__wrapped__", None)
        if level is None:
            break
        is_wrapped = True
    return Kind.PLAIN  # it wraps nothing, or itself, or something without end


def _kind_by_itself(func: Any) -> Kind:
    code = getattr(func, "__code__", None)
    if type(code) is CodeType:
        if code is _MANAGER_CODE:
            return Kind.CONTEXT_MANAGER
        if code is _ASYNC_MANAGER_CODE:
            return Kind.ASYNC_CONTEXT_MANAGER
        kind = _KIND_BY_FLAGS.get(code.co_flags & _FLAGS, Kind.PLAIN)
        if kind is not Kind.PLAIN or not func.__dict__:
            return kind
    if type(func) is not BuiltinFunctionType and _is_coroutine_function(func):
        return Kind.COROUTINE
    called = getattr(type(func), "__call__", None)  # noqa: B004 - the method is wanted, not the answer
    return _kind_by_itself(called) if type(called) is FunctionType else Kind.PLAIN


def refuse_later(name: str, func: object, kind: Kind) -> NoReturn:
    """Raise TypeError for what only an event loop can see the end of."""
    raise TypeError(
        f"circuit {name!r}: {func!r} is of the kind {kind.value!r}, and CircuitBreaker would count it as a "
        "success before it has run; AsyncCircuitBreaker serves it"
    )


class WrongBreakerError(TypeError):
    """What a function gave is served by the other kind of breaker. Says nothing about the service."""


def refuse_at_once(name: str, func: object, kind: Kind) -> NoReturn:
    """Raise TypeError for what returns its result at once: in an event loop it blocks all others."""
    raise WrongBreakerError(
        f"circuit {name!r}: {func!r} is of the kind {kind.value!r}, and gives nothing to await; "
        "AsyncCircuitBreaker serves coroutine functions, async generator functions and async context "
        "managers, CircuitBreaker all others"
    )


def mark_coroutine_function(func: Callable[..., Any]) -> None:
    """Have frameworks take ``func`` for the coroutine function that it nearly always stands for.

    They ask before they call, and run what seems plain to them in a thread.
    """
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(func)
    else:
        func._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # noqa: SLF001
