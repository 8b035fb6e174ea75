"""The breaker for event loops: the twin of ``CircuitBreaker``, on the same rules. It never blocks a loop."""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import cached_property, partial
from time import monotonic
from types import FrameType, TracebackType
from typing import Any, ParamSpec, TypeVar, overload

from sharedbreaker import observation
from sharedbreaker.base_breaker import BaseBreaker
from sharedbreaker.callables import (
    Kind,
    WrongBreakerError,
    kind_of,
    mark_coroutine_function,
    may_be_awaited,
    refuse_at_once,
)
from sharedbreaker.circuit.admission import Admission
from sharedbreaker.circuit.control import Act
from sharedbreaker.circuit.errors import StoreError
from sharedbreaker.circuit.exposition import exposition_of_answers
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.report import report_of
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.contexts import guarded_async_context_manager
from sharedbreaker.fallbacks import (
    KEYWORD,
    Fallback,
    check_fallback,
    take_fallback,
    with_async_fallback,
)
from sharedbreaker.open_calls import AsyncOpenCall
from sharedbreaker.open_probes import PART_OF_PROBE
from sharedbreaker.store.async_cluster_link import AsyncClusterLink
from sharedbreaker.store.async_link import AsyncLink, async_twin_of
from sharedbreaker.store.process import this_process
from sharedbreaker.store.steps import Command, walk_async
from sharedbreaker.store.view import View
from sharedbreaker.streams import guarded_async_generator_function

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F")
L = TypeVar("L", bound=AsyncIterator[Any] | AbstractAsyncContextManager[Any])


class AsyncCircuitBreaker(BaseBreaker):
    """One circuit breaker for a whole fleet, for asyncio. It shares its circuit with every CircuitBreaker.

    Takes the arguments of ``CircuitBreaker``. Creating one does no I/O and needs no running loop; one may
    serve several loops, one after the other or in threads. What is held back or owed is told by a thread.

    A call that is cancelled is released: it says nothing about the service, its lease ends at once, and no
    answer meant for it reaches another call.
    """

    @cached_property
    def _async_link(self) -> AsyncLink | AsyncClusterLink:
        return async_twin_of(self._link)

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
        if kwargs and KEYWORD in kwargs:
            return self._call_with_fallback(func, args, kwargs)
        # A plain function may give an awaitable.
        if may_be_awaited(func) or (kind := kind_of(func)) in (Kind.COROUTINE, Kind.PLAIN):
            return self._call(func, args, kwargs)
        return self._guarded(func, kind)(*args, **kwargs)

    def _guarded(self, func: Callable[..., Any], kind: Kind) -> Callable[..., Any]:
        """Return ``func`` under the breaker; raise TypeError for what returns its result at once."""
        if kind is Kind.COROUTINE:

            async def guarded(*args: Any, **kwargs: Any) -> Any:
                return await self._call(func, args, kwargs)

            return guarded
        begin = partial(AsyncOpenCall.begin, self, self._judge)
        if kind is Kind.ASYNC_GENERATOR:
            return guarded_async_generator_function(self.name, begin, func)
        if kind is not Kind.ASYNC_CONTEXT_MANAGER:
            refuse_at_once(self.name, func, kind)
        return guarded_async_context_manager(begin, func)

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

    async def _call(
        self, func: Callable[..., Awaitable[R]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> R:
        if observation.call_observers:
            func = observation.timed_coroutine_function(self.name, self._expected_exception, func)
        store = self._store
        view = store.view
        now = monotonic()
        if now < view.closed_until:
            return await self._call_on_view(view, func, args, kwargs)
        if now < view.rejects_until:
            raise store.reject_on_view(view, now)
        admission = await self.admit()
        try:
            if admission.is_probe:
                with self.open_probes.inside(admission):
                    result = await self._begin(func, args, kwargs)
            else:
                result = await self._begin(func, args, kwargs)
        except WrongBreakerError as error:
            await self.report(admission, Outcome.RELEASED, error)
            raise
        except Exception as error:
            await self._report_error(admission, error)
            raise
        except BaseException as error:
            self.release(admission, error)
            raise
        await self.report(admission, Outcome.SUCCESS)
        return result

    async def _call_on_view(
        self, view: View, func: Callable[..., Awaitable[R]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> R:
        # As in CircuitBreaker: most calls where a staleness is allowed, and where Redis is away.
        store = self._store
        try:
            result = await self._begin(func, args, kwargs)
        except Exception as error:
            if isinstance(error, WrongBreakerError):
                self._store.count_on_view(view, Outcome.RELEASED)
                raise
            await walk_async(
                store.report_on_view(view, self._report_of(view.nobody, error)), self._async_link
            )
            raise
        except BaseException:
            self._store.count_on_view(view, Outcome.RELEASED)
            raise
        view.add_success()
        if not view.is_watched:
            store.look_after(view)
        return result

    def _begin(
        self, func: Callable[..., Awaitable[R]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Awaitable[R]:
        begun = func(*args, **kwargs)
        if not hasattr(begun, "__await__") and not inspect.isawaitable(begun):
            refuse_at_once(self.name, func, kind_of(func))
        return begun

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

    async def admit(self) -> Admission:
        """Ask for one call's admission: the first half of ``call``, for code that cannot be wrapped.

        Every admission is owed a ``report`` or a ``release``; until then, or for ``lease_timeout``, it counts
        as a call in flight. In the middle of a probe of this breaker it is part of that probe.

        Raises:
            CircuitBreakerError: the circuit rejects the call.

        """
        if self.open_probes.is_inside():
            return PART_OF_PROBE
        store = self._store
        token = this_process().new_token()
        if not store.asks_usually:
            return (await walk_async(store.admit(token), self._async_link)).granted()
        first: Any
        try:
            first = await self._ask_usual("admit", store.usual_case.admission(token))
        except BaseException as error:  # the steps know what to do about it
            first = error
        else:
            admission = store.take_usual(first, token)
            if admission is not None:
                return admission
        return (await walk_async(store.admit_begun(token), self._async_link, first)).granted()

    async def report(
        self,
        admission: Admission,
        outcome: Outcome,
        error: BaseException | None = None,
        *,
        retry_after: float | None = None,
    ) -> None:
        """Tell how an admitted call ended: the second half of ``call``. See ``CircuitBreaker.report``."""
        if admission is PART_OF_PROBE:
            return
        store = self._store
        packed = store.usual_report(admission, outcome, error, retry_after)
        if packed is None:
            report = report_of(admission, Outcome(outcome), error, retry_after, ended=monotonic())
            await walk_async(store.report(report), self._async_link)
            return
        first: Any
        try:
            first = await self._ask_usual("report", packed)
        except BaseException as interruption:  # the steps know what to do about it
            first = interruption
        else:
            if first == b"counted":
                return
        report = report_of(admission, Outcome(outcome), error)
        await walk_async(store.report_begun(report), self._async_link, first)

    def release(self, admission: Admission, error: BaseException | None = None) -> None:
        """Give an admission back whose call was given up: a thread tells Redis, and nobody waits.

        No later call of this process asks for a probe's place before Redis is told of it.
        For whoever cannot await any more, as when the call was cancelled or is being collected.
        """
        if admission is not PART_OF_PROBE:
            self._store.report_later(report_of(admission, Outcome.RELEASED, error))

    async def _report_error(self, admission: Admission, error: BaseException) -> None:
        outcome, retry_after = self._judge(error)
        await self.report(admission, outcome, error, retry_after=retry_after)

    async def _ask_usual(self, step: str, packed: bytes) -> Any:
        """Run one packed script, once, and return its reply."""
        if not observation.redis_observers:
            return await self._async_link.run(Command((), None, packed))
        with observation.asking(step) as question:
            reply = await self._async_link.run(Command((), None, packed))
            question.was_answered = True
        return reply

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
