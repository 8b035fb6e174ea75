"""The breaker for event loops: the twin of ``CircuitBreaker``, on the same rules. It never blocks a loop."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from types import FrameType, TracebackType
from typing import Any, ParamSpec, TypeVar, overload

from sharedbreaker.async_calls import AsyncCalls
from sharedbreaker.callables import Kind, kind_of, mark_coroutine_function, may_be_awaited
from sharedbreaker.circuit.control import Act
from sharedbreaker.circuit.errors import StoreError
from sharedbreaker.circuit.exposition import exposition_of_answers
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.fallbacks import (
    Fallback,
    check_fallback,
    take_fallback,
    with_async_fallback,
)
from sharedbreaker.store.steps import walk_async

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F")
L = TypeVar("L", bound=AsyncIterator[Any] | AbstractAsyncContextManager[Any])


class AsyncCircuitBreaker(AsyncCalls):
    """One circuit breaker for a whole fleet, for asyncio. It shares its circuit with every CircuitBreaker.

    Takes the arguments of ``CircuitBreaker``. Creating one does no I/O and needs no running loop; one may
    serve several loops, one after the other or in threads. What is held back or owed is told by a thread.

    A call that is cancelled is released: it says nothing about the service, its lease ends at once, and no
    answer meant for it reaches another call.
    """

    @overload
    def call(
        self,
        func: Callable[..., Awaitable[R]],
        /,
        *args: Any,
        fallback: Callable[[Exception], Awaitable[F]],
        **kwargs: Any,
    ) -> Coroutine[Any, Any, R | F]: ...
    @overload
    def call(
        self,
        func: Callable[..., Awaitable[R]],
        /,
        *args: Any,
        fallback: Callable[[Exception], F] | None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, R | F]: ...
    @overload
    def call(
        self, func: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def call(self, func: Callable[P, L], /, *args: P.args, **kwargs: P.kwargs) -> L: ...
    def call(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run ``func`` under the breaker, await what it returns, and return that.

        An async generator function is not awaited but iterated: it is one call from the first piece of its
        stream to the last. What ``contextlib.asynccontextmanager`` made is one from entering to leaving it.

        ``fallback`` is as in ``CircuitBreaker.call``, and may be a coroutine function: what it gives is
        awaited where it can be.

        Raises:
            CircuitBreakerError: the circuit rejected the call, and ``func`` was not run.
            TypeError: ``func`` gives nothing to await or to iterate, and so blocks the loop while it runs; or
                ``fallback`` makes no sense.

        Whatever ``func`` raises is raised unchanged. Redis never makes a call fail.

        """
        if kwargs and "fallback" in kwargs:
            return self._call_with_fallback(func, args, kwargs)
        # A plain function may give an awaitable.
        if may_be_awaited(func) or (kind := kind_of(func)) in (Kind.COROUTINE, Kind.PLAIN):
            return self._call(func, args, kwargs)
        return self._guarded(func, kind)(*args, **kwargs)

    def _call_with_fallback(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        fallback = take_fallback(self.name, func, kwargs)
        if fallback is None:
            return self.call(func, *args, **kwargs)
        kind = kind_of(func)
        kind = Kind.COROUTINE if kind is Kind.PLAIN else kind
        return self._guarded_with_fallback(func, kind, fallback)(*args, **kwargs)

    def _guarded_with_fallback(
        self, func: Callable[..., Any], kind: Kind, fallback: Fallback
    ) -> Callable[..., Any]:
        guarded = self._guarded(func, kind)
        check_fallback(self.name, func, kind, fallback, (Kind.PLAIN, Kind.COROUTINE))
        return with_async_fallback(guarded, self._falls_back_on, fallback)

    def __aenter__(self) -> Coroutine[Any, Any, AsyncCircuitBreaker]:
        """Ask for admission to the block; raise CircuitBreakerError where it is refused."""
        return self._enter(sys._getframe(1))  # noqa: SLF001

    def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Coroutine[Any, Any, None]:
        return self._exit(sys._getframe(1), error)  # noqa: SLF001

    async def _enter(self, frame: FrameType) -> AsyncCircuitBreaker:
        self._open_blocks.begin(frame, await self.admit())
        return self

    async def _exit(self, frame: FrameType, error: BaseException | None) -> None:
        admission = self._open_blocks.end(frame)
        if error is None:
            await self.report(admission, Outcome.SUCCESS)
        elif isinstance(error, Exception):
            await self._report_error(admission, error)
        else:
            self.release(admission, error)

    async def force_open(
        self,
        reason: str | None = None,
        seconds: float | timedelta | None = None,
        *,
        who: str | None = None,
    ) -> None:
        """Hold the circuit open for the whole fleet, for ``seconds`` or until ``force_close()``.

        ``who`` asked; by default this host and process. Raises StoreError if Redis cannot be asked.
        """
        await self._control(Act.FORCE_OPEN, who, reason, seconds)

    async def force_close(self, reason: str | None = None, *, who: str | None = None) -> None:
        """Close the circuit, clear the counts that decide, and let the state machine decide again."""
        await self._control(Act.FORCE_CLOSE, who, reason)

    async def disable(self, reason: str | None = None, *, who: str | None = None) -> None:
        """Close the circuit and keep it closed whatever fails, until ``enable()``. Calls are tallied."""
        await self._control(Act.DISABLE, who, reason)

    async def enable(self, reason: str | None = None, *, who: str | None = None) -> None:
        """End ``disable()``. Changes nothing on a circuit that is not disabled."""
        await self._control(Act.ENABLE, who, reason)

    async def snapshot(self) -> Snapshot:
        """Return the circuit at one instant, by one atomic read; raise StoreError without Redis."""
        return await walk_async(self._store.snapshot(), self._async_link)

    async def get_state(self) -> dict[str, Any]:
        """Return name, state, failure_count, success_count and last_failure_time (Unix seconds or None)."""
        return (await self._seen()).state_dict()

    async def get_metrics(self) -> dict[str, Any]:
        """Return every figure of the circuit, fleet-wide, as JSON takes it. See ``Snapshot.metrics_dict``.

        While Redis does not answer, ``redis_available`` is False and the figures are this process' own.
        """
        return (await self._seen()).metrics_dict()

    async def export_prometheus_metrics(self) -> str:
        """Return this circuit's figures as Prometheus' text exposition.

        While Redis does not answer there are none, and ``circuit_breaker_redis_up`` is 0.
        """
        try:
            return exposition_of_answers([await self.snapshot()])
        except StoreError as error:
            return exposition_of_answers([error])

    async def _control(
        self, act: Act, who: str | None, reason: str | None, seconds: float | timedelta | None = None
    ) -> None:
        await walk_async(self._store.control(act, who, reason, seconds), self._async_link)

    async def _seen(self) -> Snapshot:
        try:
            return await self.snapshot()
        except StoreError:
            return self._store.snapshot_alone()


mark_coroutine_function(AsyncCircuitBreaker.call)
