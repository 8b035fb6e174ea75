"""The breaker for threads: calls, blocks, manual control, and what there is to see."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, overload

from sharedbreaker.callables import Kind, kind_of, returns_at_once
from sharedbreaker.circuit.control import Act
from sharedbreaker.circuit.errors import StoreError
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.fallbacks import Fallback, check_fallback, take_fallback, with_fallback
from sharedbreaker.store.steps import walk
from sharedbreaker.sync_calls import SyncCalls

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F")


class CircuitBreaker(SyncCalls):
    """One circuit breaker for a whole fleet: every process that names the same circuit shares it.

    Creating one does no I/O. All threads of a process may share one.

    Args:
        failure_threshold: failures in a row, over the whole fleet, that open the circuit, however far they
            lie apart. Default 5. None leaves that to a rate.
        timeout: seconds the circuit stays open before a probe is let through. It does not limit how
            long a call may take. Default 60.
        success_threshold: successful probes that close the circuit. Default 2.
        expected_exception: the exceptions that count as the service's failures: a class, a tuple of
            classes, or a function that takes an exception and says yes or no, or an Outcome. Any other
            Exception is ignored: a caller's error says nothing about the service. Default: every Exception.
        name: the circuit's name, 1 to 128 of letters, digits and ``_ - . : /``.
        redis: a client of redis-py or a URL. A client tells where Redis is and is itself neither used nor
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
            long, but no shorter than ``timeout``. Default: no service says so.
        max_timeout: seconds that the circuit stays open at most on the service's word. Default 300.
        max_staleness: seconds that this process may act on what it last heard of the circuit, and hold
            back its own successes, rejections and ignored calls before it writes them. Failures are
            written at once, and probes are always admitted by Redis. Default 0: every call asks Redis.
        failure_rate: a ``FailureRate`` that opens the circuit as well. Default None.
        slow_call_rate: a ``SlowCallRate`` that opens the circuit as well, also by calls that hang. Every
            process that calls is to have it, since who calls measures. Default None.
        timeout_growth: by what factor each opening is longer than the one before it, 1 to 10 in whole
            hundredths, up to ``max_timeout``; anew after the circuit was closed for that long, or by hand.
            Default 1: all last for ``timeout``.
        ramp_up: seconds after the last successful probe in which a share of the calls is let through that
            grows from a tenth to all. Default 0: all at once.
        minimum_reporters: how many processes must have seen failures, or slow calls, before the circuit
            opens, 1 to 16. More than the workers of one pod keep a pod with a broken network from cutting
            off the fleet. Not with a rate over ``LastCalls``. Default 1.
        max_in_flight: calls under way at once in the whole fleet at most; the others are rejected. It counts
            leases, so while Redis is away it bounds each process by itself. Default None: no limit.
        mode: ``"observe"`` decides, counts and tells everything and rejects nothing but what is held open
            by hand. Default ``"enforce"``.
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
        prefix: what the keys in Redis begin with. None means SHAREDBREAKER_PREFIX, else ``sharedbreaker``.

    Raises:
        SettingsError: a ValueError, for a setting that makes no sense.

    """

    @overload
    def call(
        self,
        func: Callable[..., R],
        /,
        *args: Any,
        fallback: Callable[[Exception], F] | None,
        **kwargs: Any,
    ) -> R | F: ...
    @overload
    def call(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    def call(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run ``func`` under the breaker and return what it returns.

        A generator function is one call from the first piece of its stream to the last, and what
        ``contextlib.contextmanager`` made is one from entering it to leaving it; until then nothing runs.
        A call inside a probe of this breaker is part of that probe, and not counted.

        With ``fallback=``, a function, ``fallback(error)`` is returned where the service did not answer: on
        any CircuitBreakerError, and on what counts as a failure. Ignored errors and interruptions are raised
        as ever. The call has been reported by then, and nothing of the fallback counts; what it raises has
        the error as its context. ``func`` is not given the keyword. Streams and context managers take no
        fallback.

        Raises:
            CircuitBreakerError: the circuit rejected the call, and ``func`` was not run.
            TypeError: ``func`` is a coroutine function or of a kind with it, which this breaker cannot watch;
                or ``fallback`` makes no sense, or may be meant for ``func``.

        Whatever ``func`` raises is raised unchanged. Redis never makes a call fail.

        """
        if kwargs and "fallback" in kwargs:
            return self._call_with_fallback(func, args, kwargs)
        if returns_at_once(func) or (kind := kind_of(func)) is Kind.PLAIN:
            return self._call(func, args, kwargs)
        return self._guarded(func, kind)(*args, **kwargs)

    def _call_with_fallback(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        fallback = take_fallback(self.name, func, kwargs)
        if fallback is None:
            return self.call(func, *args, **kwargs)
        return self._guarded_with_fallback(func, kind_of(func), fallback)(*args, **kwargs)

    def _guarded_with_fallback(
        self, func: Callable[..., Any], kind: Kind, fallback: Fallback
    ) -> Callable[..., Any]:
        guarded = self._guarded(func, kind)
        check_fallback(self.name, func, kind, fallback, (Kind.PLAIN,))
        return with_fallback(guarded, self._falls_back_on, fallback)

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
        """Return this circuit's figures as Prometheus' text exposition.

        While Redis does not answer there are none, and ``circuit_breaker_redis_up`` is 0.
        """
        from sharedbreaker.circuit.exposition import (  # noqa: PLC0415 - most processes need none
            exposition_of_answers,
        )

        try:
            return exposition_of_answers([self.snapshot()])
        except StoreError as error:
            return exposition_of_answers([error])

    def _control(
        self, act: Act, who: str | None, reason: str | None, seconds: float | timedelta | None = None
    ) -> None:
        walk(self._store.control(act, who, reason, seconds), self._link)

    def _seen(self) -> Snapshot:
        try:
            return self.snapshot()
        except StoreError:
            return self._store.snapshot_alone()
