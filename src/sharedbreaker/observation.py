"""Who wants to know how long things take: questions to Redis, and calls under a breaker.

Nobody wants to at first, and then it costs nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from time import monotonic, perf_counter
from types import GeneratorType
from typing import Any, Protocol, TypeVar

from redis.exceptions import NoScriptError

from sharedbreaker.circuit.outcome import ExpectedException, Outcome, outcome_of

R = TypeVar("R")

logger = logging.getLogger("sharedbreaker")


class RedisObserver(Protocol):
    """Told of each script that Redis was asked to run, in the thread that asked, after the answer."""

    def __call__(self, step: str, seconds: float, *, answered: bool) -> None:
        """Take note of one question.

        Args:
            step: the script: admit, report, declare, control, settle or snapshot.
            seconds: from before it was sent until its answer was read or given up.
            answered: False where no answer came, or one that said that Redis cannot serve.

        """


class CallObserver(Protocol):
    """Told of each function that ``call`` or a decorated function ran, in its thread or task."""

    def __call__(self, name: str, outcome: Outcome, seconds: float) -> None:
        """Take note of one function under the circuit ``name`` that ran for ``seconds``."""


# Replaced as a whole: whoever tells may go through one of them while another is being made.
redis_observers: tuple[RedisObserver, ...] = ()
call_observers: tuple[CallObserver, ...] = ()


def observe_redis(observer: RedisObserver) -> Callable[[], None]:
    """Have ``observer`` told of every question to Redis; return a function that ends that."""
    global redis_observers  # noqa: PLW0603 - one for the process
    redis_observers = (*redis_observers, observer)

    def end() -> None:
        global redis_observers  # noqa: PLW0603
        redis_observers = tuple(other for other in redis_observers if other is not observer)

    return end


def observe_calls(observer: CallObserver) -> Callable[[], None]:
    """Have ``observer`` told of every call; return a function that ends that."""
    global call_observers  # noqa: PLW0603 - one for the process
    call_observers = (*call_observers, observer)

    def end() -> None:
        global call_observers  # noqa: PLW0603
        call_observers = tuple(other for other in call_observers if other is not observer)

    return end


def tell_redis(step: str, seconds: float, *, answered: bool) -> None:
    """Tell all of one question. What an observer raises reaches the log, and no call."""
    for observer in redis_observers:
        _tell(partial(observer, step, seconds, answered=answered))


_is_told: ContextVar[bool] = ContextVar("sharedbreaker_is_told", default=False)


@contextmanager
def told_already() -> Iterator[None]:
    """Tell of no question that begins in the block: whoever asked it has told of it."""
    token = _is_told.set(True)
    try:
        yield
    finally:
        _is_told.reset(token)


class Question:
    """A question to Redis that is under way."""

    was_answered = False


@contextmanager
def asking(step: str) -> Iterator[Question]:
    """Tell all who observe how long the question in the block took, and whether it was answered."""
    question = Question()
    is_told = _is_told.get()
    started = perf_counter()
    try:
        yield question
    except NoScriptError:  # an answer too: Redis wants the script first
        question.was_answered = True
        raise
    finally:
        if not is_told:
            tell_redis(step, perf_counter() - started, answered=question.was_answered)


def tell_call(name: str, outcome: Outcome, seconds: float) -> None:
    """Tell all of one call. What an observer raises reaches the log, and no call."""
    for observer in call_observers:
        _tell(partial(observer, name, outcome, seconds))


def timed(name: str, expected: ExpectedException, func: Callable[..., R]) -> Callable[..., R]:
    """Return ``func`` as it tells how long each of its runs took, and how it ended."""

    def run(*args: Any, **kwargs: Any) -> R:
        started = monotonic()
        try:
            result = func(*args, **kwargs)
        except BaseException as error:
            seconds = monotonic() - started
            tell_call(name, outcome_of(error, expected), seconds)
            raise
        # A stream tells of itself when it ends.
        if not isinstance(result, GeneratorType):
            outcome = Outcome.RELEASED if hasattr(result, "__await__") else Outcome.SUCCESS
            tell_call(name, outcome, monotonic() - started)
        return result

    return run


def timed_coroutine_function(
    name: str, expected: ExpectedException, func: Callable[..., Awaitable[R]]
) -> Callable[..., Awaitable[R]]:
    """Return ``func`` as it tells how long each of its runs took, and how it ended."""

    async def run(begun: Awaitable[R]) -> R:
        started = monotonic()
        try:
            result = await begun
        except BaseException as error:
            tell_call(name, outcome_of(error, expected), monotonic() - started)
            raise
        tell_call(name, Outcome.SUCCESS, monotonic() - started)
        return result

    def begin(*args: Any, **kwargs: Any) -> Awaitable[R]:
        begun = func(*args, **kwargs)
        return run(begun) if hasattr(begun, "__await__") else begun

    return begin


def _tell(told: Callable[[], None]) -> None:
    try:
        told()
    except Exception:
        logger.exception("an observer failed; nothing else changed")
