"""The breaker: what stands in the way of a call. Admit, run, report."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from time import monotonic, perf_counter
from types import GeneratorType, TracebackType
from typing import Any, ParamSpec, TypeVar

from sharedbreaker import observation
from sharedbreaker.base_breaker import BaseBreaker
from sharedbreaker.callables import ENDED, STREAMS, Kind, kind_of, refuse_later, returns_at_once
from sharedbreaker.circuit.admission import Admission
from sharedbreaker.circuit.control import Act
from sharedbreaker.circuit.errors import CircuitBreakerError, StoreError
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.report import exception_name, report_of
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.store.process import this_process
from sharedbreaker.store.steps import walk

P = ParamSpec("P")
R = TypeVar("R")


class CircuitBreaker(BaseBreaker):
    """One circuit breaker for a whole fleet: every process that names the same circuit shares it.

    Creating one does no I/O. All threads of a process may share one.

    Args:
        failure_threshold: failures in a row, over the whole fleet, that open the circuit. Default 5.
        timeout: seconds the circuit stays open before a probe is let through. It does not limit how
            long a call may take. Default 60.
        success_threshold: successful probes that close the circuit. Default 2.
        expected_exception: the exceptions that count as the service's failures: a class, a tuple of
            classes, or a function that takes an exception and says yes or no, or an Outcome. Any other
            Exception is ignored: a caller's error says nothing about the service. Default: every Exception.
        name: the circuit's name, 1 to 128 of letters, digits and ``_ - . : /``.
        redis: a redis.Redis client or a URL. A client tells where Redis is and is itself neither used nor
            changed. None means SHAREDBREAKER_REDIS_URL, else REDIS_URL, else localhost.
        half_open_max_calls: probes under way at once in the whole fleet. None means as many as
            ``success_threshold``.
        probe_timeout: seconds a probe keeps its place without a report. Default 60.
        lease_timeout: seconds any other call stays on the books without a report, before it is
            counted as lost; make it longer than the longest call. Default 900.
        idle_ttl: seconds after which a closed circuit that nobody calls or holds is forgotten.
            None means never.
        retry_after_of: a function that takes a failure and returns the seconds after which the service itself
            asked to be called again, or None. Where that failure opens the circuit, it stays open for so
            long. Default: no service says so.
        max_timeout: seconds that the circuit stays open at most on the service's word. Default 300.
        max_staleness: seconds that this process may act on what it last heard of the circuit, and hold
            back its own successes, rejections and ignored calls before it writes them. Failures are
            written at once, and probes are always admitted by Redis. Default 0: every call asks Redis.
        push: whether changes of the circuit are also published, so that processes with a
            ``max_staleness`` hear of them at once. Default False.
        redis_timeout: seconds that any wait for Redis may last. Default 0.25.
        redis_retry_interval: seconds between two tries of a process while Redis does not answer; one call
            tries, the others do not wait. Default 1.
        on_redis_error: what decides while Redis does not answer. ``"local"``, the default: the same rules
            in this process, begun from the last state known. ``"allow"``: every call runs.
            ``"reject"``: no call runs. What happened meanwhile is added to Redis when it answers.
        on_redis_change: called with False when this process loses Redis and with True when it has it
            again, in whichever thread notices. An exception in it changes nothing.
        prefix: what the keys in Redis begin with. Default ``sharedbreaker``.

    Raises:
        SettingsError: a ValueError, for a setting that makes no sense.

    """

    def call(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run ``func`` under the breaker and return what it returns.

        A generator function is one call from the first piece of its stream to the last, and what
        ``contextlib.contextmanager`` made is one from entering it to leaving it; until then nothing runs.

        Raises:
            CircuitBreakerError: the circuit rejected the call, and ``func`` was not run.
            TypeError: ``func`` is a coroutine function or of a kind with it, which this breaker cannot watch.

        Whatever ``func`` raises is raised unchanged. Redis never makes a call fail.

        """
        if returns_at_once(func) or (kind := kind_of(func)) is Kind.PLAIN:
            return self._call(func, args, kwargs)
        guarded: Callable[P, R] = self._guarded(func, kind)
        return guarded(*args, **kwargs)

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
                walk(store.report_on_view(view, self._report_of(view.nobody, error)), self._link)
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
            view.add_rejected()
            if not view.is_watched:
                store.look_after(view)
            raise view.refusal(now)
        admission = self.admit()
        try:
            result = func(*args, **kwargs)
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
        raise TypeError(
            f"circuit {self.name!r}: {func!r} returned {type(result).__name__!r}, whose end CircuitBreaker "
            "would not see; AsyncCircuitBreaker serves coroutine functions and async generator functions"
        )

    def __enter__(self) -> CircuitBreaker:
        """Ask for admission to the block; raise CircuitBreakerError where it is refused."""
        self._open_blocks.begin(sys._getframe(1), self.admit())  # noqa: SLF001
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        admission = self._open_blocks.end(sys._getframe(1))  # noqa: SLF001
        if error is None:
            self.report(admission, Outcome.SUCCESS)
        else:
            self._report_error(admission, error)

    def admit(self) -> Admission:
        """Ask for one call's admission: the first half of ``call``, for code that cannot be wrapped.

        Every admission is owed a ``report``; until then, or for ``lease_timeout``, it counts as a
        call in flight.

        Raises:
            CircuitBreakerError: the circuit rejects the call.

        """
        store = self._store
        token = this_process().new_token()
        if store.is_usual:
            first: Any
            try:
                first = self._ask_usual("admit", store.usual_case.admission(token))
            except BaseException as error:  # the steps know what to do about it
                first = error
            else:
                usual = store.usual_case.read_admission(first, token)
                if type(usual) is Admission:
                    store.see_usual(None)
                    return usual
                if isinstance(usual, CircuitBreakerError):
                    store.see_usual(usual)
                    raise usual
            reading = walk(store.admit_begun(token), self._link, first)
        else:
            reading = walk(store.admit(token), self._link)
        if reading.refusal is not None:
            raise reading.refusal
        assert reading.admission is not None  # noqa: S101 - one of the two is there
        return reading.admission

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
        again. Where this failure opens the circuit, it stays open for so long, up to ``max_timeout``.
        """
        store = self._store
        if store.is_usual and admission.view is None and not admission.is_local and retry_after is None:
            first: Any
            try:
                packed = store.usual_case.report(admission, outcome, exception_name(error))
                first = self._ask_usual("report", packed)
            except BaseException as interruption:  # the steps know what to do about it
                first = interruption
            else:
                if first == b"counted":
                    return
            steps = store.report_begun(report_of(admission, Outcome(outcome), error))
            walk(steps, self._link, first)
            return
        walk(store.report(report_of(admission, Outcome(outcome), error, retry_after)), self._link)

    def _report_error(self, admission: Admission, error: BaseException) -> None:
        outcome, retry_after = self._judge(error)
        self.report(admission, outcome, error, retry_after=retry_after)

    def _ask_usual(self, step: str, packed: bytes) -> Any:
        """Run one packed script, once, and return its reply."""
        if not observation.redis_observers:
            return self._link.ask(packed)
        started = perf_counter()
        answered = False
        try:
            reply = self._link.ask(packed)
            answered = True
        finally:
            observation.tell_redis(step, perf_counter() - started, answered=answered)
        return reply

    def force_open(
        self,
        reason: str | None = None,
        seconds: float | timedelta | None = None,
        *,
        who: str | None = None,
    ) -> None:
        """Hold the circuit open for the whole fleet, for ``seconds`` or until ``force_close()``.

        ``who`` asked; by default this host and process. Raises StoreError if Redis cannot be asked.
        """
        self._control(Act.FORCE_OPEN, who, reason, seconds)

    def force_close(self, reason: str | None = None, *, who: str | None = None) -> None:
        """Close the circuit, clear the counts that decide, and let the state machine decide again."""
        self._control(Act.FORCE_CLOSE, who, reason)

    def disable(self, reason: str | None = None, *, who: str | None = None) -> None:
        """Close the circuit and keep it closed whatever fails, until ``enable()``. Calls are tallied."""
        self._control(Act.DISABLE, who, reason)

    def enable(self, reason: str | None = None, *, who: str | None = None) -> None:
        """End ``disable()``. Changes nothing on a circuit that is not disabled."""
        self._control(Act.ENABLE, who, reason)

    def snapshot(self) -> Snapshot:
        """Return the circuit at one instant, by one atomic read; raise StoreError without Redis."""
        return walk(self._store.snapshot(), self._link)

    def get_state(self) -> dict[str, Any]:
        """Return name, state, failure_count, success_count and last_failure_time (Unix seconds or None)."""
        return self._seen().state_dict()

    def get_metrics(self) -> dict[str, Any]:
        """Return every figure of the circuit, fleet-wide, as JSON takes it. See ``Snapshot.metrics_dict``.

        While Redis does not answer, ``redis_available`` is False and the figures are this process' own.
        """
        return self._seen().metrics_dict()

    def export_prometheus_metrics(self) -> str:
        """Return this circuit's figures as Prometheus' text exposition."""
        from sharedbreaker.circuit.exposition import exposition  # noqa: PLC0415 - most processes need none

        return exposition([self.snapshot()])

    def _control(
        self, act: Act, who: str | None, reason: str | None, seconds: float | timedelta | None = None
    ) -> None:
        walk(self._store.control(act, who, reason, seconds), self._link)

    def _seen(self) -> Snapshot:
        try:
            return self.snapshot()
        except StoreError:
            return self._store.snapshot_alone()
