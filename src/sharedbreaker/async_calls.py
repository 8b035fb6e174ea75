"""What happens to a call in an event loop: admit, run, report."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import cached_property, partial
from time import monotonic
from typing import Any, TypeVar

from sharedbreaker import observation
from sharedbreaker.base_breaker import BaseBreaker
from sharedbreaker.callables import Kind, WrongBreakerError, kind_of, refuse_at_once
from sharedbreaker.circuit.admission import Admission
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.report import report_of
from sharedbreaker.contexts import guarded_async_context_manager
from sharedbreaker.open_calls import AsyncOpenCall
from sharedbreaker.open_probes import PART_OF_PROBE
from sharedbreaker.store.async_cluster_link import AsyncClusterLink
from sharedbreaker.store.async_link import AsyncLink, async_twin_of
from sharedbreaker.store.process import this_process
from sharedbreaker.store.steps import Command, walk_async
from sharedbreaker.store.view import View
from sharedbreaker.streams import guarded_async_generator_function

R = TypeVar("R")


class AsyncCalls(BaseBreaker):
    """The part of an ``AsyncCircuitBreaker`` that stands in the way of a call."""

    @cached_property
    def _async_link(self) -> AsyncLink | AsyncClusterLink:
        return async_twin_of(self._link)

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
