"""What happens to a call in a thread: admit, run, report."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from time import monotonic
from types import GeneratorType
from typing import Any, ParamSpec, TypeVar

from sharedbreaker import observation
from sharedbreaker.base_breaker import BaseBreaker
from sharedbreaker.callables import ENDED, STREAMS, Kind, WrongBreakerError, refuse_later
from sharedbreaker.circuit.admission import Admission
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.report import report_of
from sharedbreaker.open_probes import PART_OF_PROBE
from sharedbreaker.store.process import this_process
from sharedbreaker.store.steps import walk
from sharedbreaker.store.view import View

P = ParamSpec("P")
R = TypeVar("R")


class SyncCalls(BaseBreaker):
    """The part of a ``CircuitBreaker`` that stands in the way of a call."""

    def _guarded(self, func: Callable[..., Any], kind: Kind) -> Callable[..., Any]:
        """Return ``func`` under the breaker; raise TypeError for what only an event loop can run."""
        if kind is Kind.PLAIN:

            def guarded(*args: Any, **kwargs: Any) -> Any:
                return self._call(func, args, kwargs)

            return guarded
        # Most processes guard nothing but plain functions.
        from sharedbreaker.contexts import guarded_context_manager  # noqa: PLC0415
        from sharedbreaker.open_calls import OpenCall  # noqa: PLC0415
        from sharedbreaker.streams import guarded_generator_function  # noqa: PLC0415

        begin = partial(OpenCall.begin, self, self._judge)
        if kind is Kind.GENERATOR:
            return guarded_generator_function(begin, func)
        if kind is not Kind.CONTEXT_MANAGER:
            refuse_later(self.name, func, kind)
        return guarded_context_manager(begin, func)

    def _call(self, func: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        if observation.call_observers:
            func = observation.timed(self.name, self._expected_exception, func)
        store = self._store
        view = store.view
        now = monotonic()
        if now < view.closed_until:
            # Nobody is asked, and nothing is made that is not needed: this is most calls where a staleness
            # is allowed, and where Redis is away.
            try:
                result = func(*args, **kwargs)
            except BaseException as error:
                self._end_on_view(view, error)
                raise
            if type(result) not in ENDED and (type(result) in STREAMS or hasattr(result, "__await__")):
                reading = view.admit(this_process().new_token())
                assert reading.admission is not None  # noqa: S101 - a view that lets calls through has one
                return self._hand_over(func, result, reading.admission)
            view.add_success()
            if not view.is_watched:
                store.look_after(view)
            return result
        if now < view.rejects_until:
            raise store.reject_on_view(view, now)
        admission = self.admit()
        run = self.open_probes.around(func, admission) if admission.is_probe else func
        try:
            result = run(*args, **kwargs)
        except BaseException as error:
            self._report_error(admission, error)
            raise
        if type(result) not in ENDED and (type(result) in STREAMS or hasattr(result, "__await__")):
            return self._hand_over(func, result, admission)
        self.report(admission, Outcome.SUCCESS)
        return result

    def _hand_over(self, func: Callable[..., R], result: Any, admission: Admission) -> R:
        """Have what came out of ``func`` end the call; raise TypeError where that would not be seen."""
        if type(result) is GeneratorType:
            from sharedbreaker.open_calls import OpenCall  # noqa: PLC0415
            from sharedbreaker.streams import rest_of  # noqa: PLC0415

            return rest_of(OpenCall(self, self._judge, admission), result)  # type: ignore[return-value]
        self.report(admission, Outcome.RELEASED)
        if inspect.iscoroutine(result):
            result.close()
        raise WrongBreakerError(
            f"circuit {self.name!r}: {func!r} returned {type(result).__name__!r}, whose end CircuitBreaker "
            "would not see; AsyncCircuitBreaker serves coroutine functions and async generator functions"
        )

    def admit(self) -> Admission:
        """Ask for one call's admission: the first half of ``call``, for code that cannot be wrapped.

        Every admission is owed a ``report``; until then, or for ``lease_timeout``, it counts as a
        call in flight. In the middle of a probe of this breaker it is part of that probe.

        Raises:
            CircuitBreakerError: the circuit rejects the call.

        """
        if self.open_probes.is_inside():
            return PART_OF_PROBE
        store = self._store
        token = this_process().new_token()
        if not store.asks_usually:
            return walk(store.admit(token), self._link).granted()
        first: Any
        try:
            first = self._ask_usual("admit", store.usual_case.admission(token))
        except BaseException as error:  # the steps know what to do about it
            first = error
        else:
            admission = store.take_usual(first, token)
            if admission is not None:
                return admission
        return walk(store.admit_begun(token), self._link, first).granted()

    def report(
        self,
        admission: Admission,
        outcome: Outcome,
        error: BaseException | None = None,
        *,
        retry_after: float | None = None,
    ) -> None:
        """Tell how an admitted call ended: the second half of ``call``.

        Counts once, however often it is told, and never raises on Redis' account. ``error`` lends the
        name of its type to the books. ``retry_after``: seconds after which the service asked to be called
        again. Where this failure opens the circuit, it stays open for so long: ``timeout`` at least, and
        ``max_timeout`` at most.
        """
        if admission is PART_OF_PROBE:
            return
        store = self._store
        packed = store.usual_report(admission, outcome, error, retry_after)
        if packed is None:
            report = report_of(admission, Outcome(outcome), error, retry_after, ended=monotonic())
            walk(store.report(report), self._link)
            return
        first: Any
        try:
            first = self._ask_usual("report", packed)
        except BaseException as interruption:  # the steps know what to do about it
            first = interruption
        else:
            if first == b"counted":
                return
        report = report_of(admission, Outcome(outcome), error)
        walk(store.report_begun(report), self._link, first)

    def _end_on_view(self, view: View, error: BaseException) -> None:
        """Tell how a call ended that ran on a view and raised."""
        store = self._store
        report = self._report_of(view.nobody, error)
        is_failure = report.outcome is Outcome.FAILURE and not view.is_disowned
        if is_failure and view.is_local:
            store.fail_alone(view, report)
        elif not (is_failure and store.may_tell_quickly):
            walk(store.report_on_view(view, report), self._link)
        else:
            telling = store.begin_to_tell(view, report)
            first: Any
            try:
                first = self._ask_usual("refresh", store.usual_case.refresh(telling.batch, telling.told))
            except BaseException as interruption:  # the steps know what to do about it
                first = interruption
            if type(first) is bytes:
                store.told_usual(telling, first.decode())
            else:
                walk(store.fail_begun(report, telling), self._link, first)

    def _report_error(self, admission: Admission, error: BaseException) -> None:
        outcome, retry_after = self._judge(error)
        self.report(admission, outcome, error, retry_after=retry_after)

    def _ask_usual(self, step: str, packed: bytes) -> Any:
        """Run one packed script, once, and return its reply."""
        if not observation.redis_observers:
            return self._link.ask(packed)
        with observation.asking(step) as question:
            reply = self._link.ask(packed)
            question.was_answered = True
        return reply
