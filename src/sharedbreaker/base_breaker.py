"""What both breakers are made of: their settings, checked where they enter, and their circuit's store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Literal

from sharedbreaker.callables import WrongBreakerError
from sharedbreaker.circuit.admission import Admission
from sharedbreaker.circuit.errors import CircuitBreakerError, SettingsError
from sharedbreaker.circuit.name import check_name
from sharedbreaker.circuit.outcome import (
    ExpectedException,
    Outcome,
    RetryAfterOf,
    check_expected_exception,
    outcome_of,
    retry_after_in,
)
from sharedbreaker.circuit.rates import (
    FailureRate,
    SlowCallRate,
    observes,
    percent_in,
    rate_settings,
)
from sharedbreaker.circuit.report import Report, report_of
from sharedbreaker.circuit.settings import Settings, seconds_in, staleness_in
from sharedbreaker.described_breaker import DescribedBreaker
from sharedbreaker.open_blocks import OpenBlocks
from sharedbreaker.open_probes import OpenProbes
from sharedbreaker.store.alone import OnRedisError
from sharedbreaker.store.announcer import TransitionNotice
from sharedbreaker.store.keys import keys_of, prefix_or_default
from sharedbreaker.store.link import RedisLike, link_to
from sharedbreaker.store.redis_store import RedisStore
from sharedbreaker.store.switch_over import SwitchOverStore

ON_REDIS_ERROR = ("local", "allow", "reject")


class BaseBreaker(DescribedBreaker):
    """A breaker without its ways to make calls. ``CircuitBreaker`` says what the arguments are."""

    def __init__(
        self,
        failure_threshold: int | None = 5,
        timeout: float | timedelta = 60,
        success_threshold: int = 2,
        expected_exception: ExpectedException = Exception,
        name: str = "circuit_breaker",
        *,
        redis: RedisLike = None,
        half_open_max_calls: int | None = None,
        probe_timeout: float | timedelta = 60,
        lease_timeout: float | timedelta = 900,
        idle_ttl: float | timedelta | None = None,
        retry_after_of: RetryAfterOf | None = None,
        max_timeout: float | timedelta = 300,
        max_staleness: float | timedelta = 0,
        push: bool = False,
        failure_rate: FailureRate | None = None,
        slow_call_rate: SlowCallRate | None = None,
        timeout_growth: float = 1,
        ramp_up: float | timedelta = 0,
        minimum_reporters: int = 1,
        max_in_flight: int | None = None,
        mode: Literal["enforce", "observe"] = "enforce",
        redis_timeout: float | timedelta = 0.25,
        redis_retry_interval: float | timedelta = 1,
        on_redis_error: OnRedisError = "local",
        on_redis_change: Callable[[bool], None] | None = None,
        prefix: str | None = None,
    ) -> None:
        self.name = check_name("name", name)
        check_expected_exception(expected_exception)
        if retry_after_of is not None and not callable(retry_after_of):
            raise SettingsError(f"retry_after_of must be a function or None, not {retry_after_of!r}")
        self._expected_exception = expected_exception
        self._retry_after_of = retry_after_of
        settings = Settings(
            failure_threshold=failure_threshold,
            timeout=timeout,
            success_threshold=success_threshold,
            half_open_max_calls=half_open_max_calls,
            probe_timeout=probe_timeout,
            lease_timeout=lease_timeout,
            idle_ttl=idle_ttl,
            max_timeout=max_timeout,
            push=push,
            timeout_growth_percent=percent_in("timeout_growth", timeout_growth, 1, 10),
            ramp_up=ramp_up,
            minimum_reporters=minimum_reporters,
            max_in_flight=max_in_flight,
            observe=observes("mode", mode),
            **rate_settings(failure_rate, slow_call_rate),
        )
        if on_redis_error not in ON_REDIS_ERROR:
            raise SettingsError(f"on_redis_error must be one of {ON_REDIS_ERROR}, not {on_redis_error!r}")
        if on_redis_change is not None and not callable(on_redis_change):
            raise SettingsError(f"on_redis_change must be a function or None, not {on_redis_change!r}")
        link = link_to(
            redis,
            seconds_in("redis_timeout", redis_timeout),
            seconds_in("redis_retry_interval", redis_retry_interval),
        )
        prefix = prefix_or_default(prefix)
        self._describe(settings, redis, prefix)
        self.open_probes = OpenProbes()
        self._open_blocks = OpenBlocks(self.open_probes)
        shared = RedisStore(link, name, keys_of(name, prefix), settings)
        self._link = link
        self._store = SwitchOverStore(
            name,
            settings,
            shared,
            link,
            max_staleness=staleness_in("max_staleness", max_staleness),
            on_redis_error=on_redis_error,
            on_redis_change=on_redis_change,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"

    def on_transition(self, listener: Callable[[TransitionNotice], object]) -> Callable[[], None]:
        """Have ``listener`` told of every transition of the shared circuit that this process causes.

        Whoever moved the state tells of it, so that a fleet in which each process listens tells of each
        transition once: at most once, if the answer that told of it is lost. It is called in the thread
        or task that caused it and should not take long; what it raises is logged and changes nothing.
        Returns a function that ends it. Transitions are also logged, openings as warnings.
        """
        return self._store.announcer.add(listener)

    def _judge(self, error: BaseException) -> tuple[Outcome, float | None]:
        """Return what an exception says of the service, and how many seconds the service asked for."""
        return outcome_of(error, self._expected_exception), retry_after_in(error, self._retry_after_of)

    def _falls_back_on(self, error: Exception) -> bool:
        """Return whether ``error`` means that the service did not answer: a rejection, or a failure."""
        if isinstance(error, (CircuitBreakerError, WrongBreakerError)):
            return isinstance(error, CircuitBreakerError)
        return outcome_of(error, self._expected_exception) is Outcome.FAILURE

    def _report_of(self, admission: Admission, error: BaseException) -> Report:
        outcome, retry_after = self._judge(error)
        return report_of(admission, outcome, error, retry_after)
