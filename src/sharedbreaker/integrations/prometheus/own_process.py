"""What one process knows about itself: whether it has Redis, how long Redis and calls take.

These figures differ between workers. Each series names its process, so that none is ever mistaken for
another's, whichever worker answers a scrape.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable
from typing import Protocol

from prometheus_client.metrics_core import Metric

from sharedbreaker import observation
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.settings import Settings
from sharedbreaker.integrations.prometheus.durations import Durations
from sharedbreaker.store.link import RedisLike
from sharedbreaker.store.process import ForgetsAtFork, call_forget_in_children, this_process

OWN = "Of the process in the label process alone: add processes up with sum."
REDIS_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
STEPS = ("admit", "report", "other")
"""What a question to Redis was for. A call waits for the first two; the rest is seldom."""
NOT_ANSWERED = "circuit_breaker_redis_unanswered"


class ObservedBreaker(Protocol):
    """What the collector wants to know of a breaker of this process, without any I/O."""

    @property
    def name(self) -> str:
        """The circuit's name."""

    @property
    def settings(self) -> Settings:
        """What it declares."""

    @property
    def redis(self) -> RedisLike:
        """What it finds Redis by."""

    @property
    def prefix(self) -> str:
        """What its keys begin with."""

    @property
    def redis_available(self) -> bool:
        """Whether it had Redis at its last call."""

    @property
    def unwritten_calls(self) -> int:
        """Calls that Redis has not been told of yet."""


class OwnProcess(ForgetsAtFork):
    """What is observed in this process from now on.

    Args:
        call_durations: whether calls are timed as well.

    """

    def __init__(self, *, call_durations: bool) -> None:
        self._redis_durations = Durations(("step",), REDIS_BUCKETS)
        self._redis_durations.expect((step,) for step in STEPS)
        self._call_durations = Durations(("name", "outcome"), CALL_BUCKETS) if call_durations else None
        self.forget()
        call_forget_in_children(self)
        # Whoever observes must not keep the collector alive.
        me = weakref.ref(self)

        def redis_answered(step: str, seconds: float, *, answered: bool) -> None:
            if (observer := me()) is not None:
                observer.redis_answered(step, seconds, answered=answered)

        def call_ended(name: str, outcome: Outcome, seconds: float) -> None:
            if (observer := me()) is not None:
                observer.call_ended(name, outcome, seconds)

        weakref.finalize(self, observation.observe_redis(redis_answered))
        if call_durations:
            weakref.finalize(self, observation.observe_calls(call_ended))

    def forget(self) -> None:
        """Begin at zero."""
        self._lock = threading.RLock()
        self._unanswered = 0
        self._failed_scrapes = 0

    def redis_answered(self, step: str, seconds: float, *, answered: bool) -> None:
        """Take note of one question to Redis."""
        self._redis_durations.observe((step if step in STEPS else "other",), seconds)
        if not answered:
            with self._lock:
                self._unanswered += 1

    def call_ended(self, name: str, outcome: Outcome, seconds: float) -> None:
        """Take note of one call."""
        if self._call_durations is not None:
            self._call_durations.observe((name, outcome.value), max(0.0, seconds))

    def scrape_failed(self) -> None:
        """Take note of a scrape that Redis did not answer, or not in full."""
        with self._lock:
            self._failed_scrapes += 1

    def families(self, breakers: Iterable[ObservedBreaker], *, empty: bool = False) -> Iterable[Metric]:
        """Return all families; with ``empty``, no samples in them."""
        who = {"process": this_process().who}
        degraded = Metric(
            "circuit_breaker_process_degraded",
            f"1 while the process decides by itself, because it cannot ask Redis; else 0. {OWN}",
            "gauge",
        )
        unwritten = Metric(
            "circuit_breaker_process_unwritten_calls",
            f"Calls that Redis has not been told of yet. {OWN}",
            "gauge",
        )
        redis_durations = Metric(
            "circuit_breaker_redis_duration_seconds",
            f"How long Redis took, by what it was asked for. {OWN}",
            "histogram",
        )
        unanswered = Metric(NOT_ANSWERED, f"Questions that Redis did not answer. {OWN}", "counter")
        failed = Metric(
            "circuit_breaker_failed_scrapes", f"Scrapes that Redis did not answer in full. {OWN}", "counter"
        )
        metrics = [degraded, unwritten, redis_durations, unanswered, failed]
        durations = None
        if self._call_durations is not None:
            durations = Metric(
                "circuit_breaker_call_duration_seconds",
                f"How long guarded functions ran, by outcome. {OWN}",
                "histogram",
            )
            metrics.append(durations)
        if empty:
            return metrics
        for name, mine in _by_name(breakers).items():
            labels = {"name": name, **who}
            degraded.add_sample(
                degraded.name, labels, int(not all(breaker.redis_available for breaker in mine))
            )
            unwritten.add_sample(unwritten.name, labels, sum(breaker.unwritten_calls for breaker in mine))
            if self._call_durations is not None:
                self._call_durations.expect((name, outcome.value) for outcome in Outcome)
        self._redis_durations.add_samples(redis_durations, who)
        unanswered.add_sample(f"{unanswered.name}_total", who, self._unanswered)
        failed.add_sample(f"{failed.name}_total", who, self._failed_scrapes)
        if self._call_durations is not None and durations is not None:
            self._call_durations.add_samples(durations, who)
        return metrics


def _by_name(breakers: Iterable[ObservedBreaker]) -> dict[str, list[ObservedBreaker]]:
    named: dict[str, list[ObservedBreaker]] = {}
    for breaker in breakers:
        named.setdefault(breaker.name, []).append(breaker)
    return named
