"""An AsyncCircuitBreaker with the surface of a CircuitBreaker, so that one suite of tests drives both.

All calls of a test, from whatever threads, are tasks of one event loop in a thread of its own. The functions
that they guard run in the thread that made the call, as under a CircuitBreaker: the loop sees coroutine
functions that wait for them.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from os import getpid
from queue import SimpleQueue
from types import TracebackType
from typing import Any, TypeVar

from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, Outcome
from sharedbreaker.callables import Kind, kind_of, refuse_later
from sharedbreaker.circuit.admission import Admission
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.fallbacks import KEYWORD, Fallback

T = TypeVar("T")
Step = Callable[[], bool]
"""Something to do in the caller's thread; False when it was the last."""
PATIENCE_SECONDS = 20


class LoopThread:
    """One event loop, running in a thread until it is closed."""

    def __init__(self) -> None:
        self.pid = getpid()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="driven-loop", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "the loop did not end"


class _Current:
    loop_thread: LoopThread | None = None
    lock = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    with _Current.lock:
        if _Current.loop_thread is None or _Current.loop_thread.pid != getpid():
            _Current.loop_thread = LoopThread()
        return _Current.loop_thread.loop


def close_loop() -> None:
    """End the loop, if there is one; the next call begins another."""
    with _Current.lock:
        loop_thread, _Current.loop_thread = _Current.loop_thread, None
    if loop_thread is not None and loop_thread.pid == getpid():
        loop_thread.close()


class _Ending:
    """What came of something, with the context variables that it left."""

    result: Any = None
    error: BaseException | None = None
    context: contextvars.Context | None = None


def _take_over(context: contextvars.Context, known: contextvars.Context) -> None:
    """Set the variables of ``context`` in this thread, but for those that ``known`` has already."""
    for variable, value in context.items():
        if known.get(variable) is not value:
            variable.set(value)


class _Driven:
    """One coroutine as a task of the loop, and the thread that waits for it."""

    def __init__(self) -> None:
        self._steps: SimpleQueue[Step] = SimpleQueue()

    def drive(self, make: Callable[[], Awaitable[T]]) -> T:
        ending = _Ending()
        context = contextvars.copy_context()
        loop = _loop()

        async def whole() -> None:
            try:
                ending.result = await make()
            except BaseException as error:  # a KeyboardInterrupt would end the loop
                ending.error = error
            ending.context = contextvars.copy_context()
            self._steps.put(lambda: False)

        def begin() -> None:
            tasks.append(loop.create_task(whole()))

        tasks: list[asyncio.Task[None]] = []
        loop.call_soon_threadsafe(begin, context=context)
        while self._steps.get()():
            pass
        assert ending.context is not None
        _take_over(ending.context, context)
        error, ending.error = ending.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error
        result: T = ending.result
        return result

    def as_coroutine_function(
        self, func: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Callable[[], Coroutine[Any, Any, T]]:
        async def waits_for_func() -> T:
            loop = asyncio.get_running_loop()
            is_done = loop.create_future()
            ending = _Ending()
            context = contextvars.copy_context()

            def step() -> bool:
                _take_over(context, contextvars.copy_context())
                try:
                    ending.result = func(*args, **kwargs)
                except BaseException as error:  # handed on
                    ending.error = error
                loop.call_soon_threadsafe(is_done.set_result, None)
                return True

            self._steps.put(step)
            await is_done
            error, ending.error = ending.error, None
            if error is not None:
                try:
                    raise error
                finally:
                    del error
            result: T = ending.result
            return result

        return waits_for_func


class DrivenAsyncBreaker(CircuitBreaker):
    """The facade. It is a CircuitBreaker for the type checker and for the decorator alone."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self._twin = AsyncCircuitBreaker(*args, **settings)
        self.name = self._twin.name
        self._store = self._twin._store
        self._link = self._twin._link

    def __repr__(self) -> str:
        return repr(self._twin)

    def _call(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        driven = _Driven()
        coroutine_function = driven.as_coroutine_function(func, args, kwargs)
        try:
            return driven.drive(lambda: self._twin.call(coroutine_function))
        except Exception:
            raise
        except BaseException:
            self._wait_for_settler()
            raise

    def call(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if KEYWORD in kwargs:
            return self._call_with_fallback(func, args, kwargs)
        kind = kind_of(func)
        if kind is not Kind.PLAIN:
            refuse_later(self.name, func, kind)
        return self._call(func, args, kwargs)

    def _guarded_with_fallback(
        self, func: Callable[..., Any], kind: Kind, fallback: Fallback
    ) -> Callable[..., Any]:
        super()._guarded_with_fallback(func, kind, fallback)  # refuses what it refuses

        def guarded(*args: Any, **kwargs: Any) -> Any:
            driven = _Driven()
            coroutine_function = driven.as_coroutine_function(func, args, kwargs)

            async def fallback_there(error: Exception) -> Any:
                return await driven.as_coroutine_function(fallback, (error,), {})()

            return driven.drive(lambda: self._twin.call(coroutine_function, fallback=fallback_there))

        return guarded

    def __enter__(self) -> CircuitBreaker:
        frame = sys._getframe(1)
        _Driven().drive(lambda: self._twin._enter(frame))
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        frame = sys._getframe(1)
        _Driven().drive(lambda: self._twin._exit(frame, error))
        if error is not None and not isinstance(error, Exception):
            self._wait_for_settler()

    def _wait_for_settler(self) -> None:
        """Wait as a CircuitBreaker does in whose thread a given-up call is told: here a thread tells it."""
        settler = self._store._guard._settler
        if settler is not None:
            settler.join(PATIENCE_SECONDS)

    def admit(self) -> Admission:
        return _Driven().drive(self._twin.admit)

    def report(
        self,
        admission: Admission,
        outcome: Outcome,
        error: BaseException | None = None,
        *,
        retry_after: float | None = None,
    ) -> None:
        _Driven().drive(lambda: self._twin.report(admission, outcome, error, retry_after=retry_after))

    def force_open(
        self,
        reason: str | None = None,
        seconds: float | timedelta | None = None,
        *,
        who: str | None = None,
    ) -> None:
        _Driven().drive(lambda: self._twin.force_open(reason, seconds, who=who))

    def force_close(self, reason: str | None = None, *, who: str | None = None) -> None:
        _Driven().drive(lambda: self._twin.force_close(reason, who=who))

    def disable(self, reason: str | None = None, *, who: str | None = None) -> None:
        _Driven().drive(lambda: self._twin.disable(reason, who=who))

    def enable(self, reason: str | None = None, *, who: str | None = None) -> None:
        _Driven().drive(lambda: self._twin.enable(reason, who=who))

    def snapshot(self) -> Snapshot:
        return _Driven().drive(self._twin.snapshot)

    def get_state(self) -> dict[str, Any]:
        return _Driven().drive(self._twin.get_state)

    def get_metrics(self) -> dict[str, Any]:
        return _Driven().drive(self._twin.get_metrics)

    def export_prometheus_metrics(self) -> str:
        return _Driven().drive(self._twin.export_prometheus_metrics)
