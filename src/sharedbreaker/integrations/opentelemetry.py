"""Transitions for OpenTelemetry: a count of them, and an event on the span of the call that caused one.

Needs the package ``opentelemetry-api``; without an SDK behind it, it costs next to nothing and shows nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from opentelemetry import metrics, trace

from sharedbreaker.base_breaker import BaseBreaker
from sharedbreaker.store.announcer import TransitionNotice

COUNTER = "circuit_breaker.state_transitions"
EVENT = "circuit_breaker.transition"


def instrument(
    breakers: Iterable[BaseBreaker], meter_provider: metrics.MeterProvider | None = None
) -> Callable[[], None]:
    """Have each transition that this process causes counted and put on the current span.

    The counter is ``circuit_breaker.state_transitions``, the event ``circuit_breaker.transition``; both have
    ``circuit_breaker.name``, ``circuit_breaker.before`` and ``circuit_breaker.after``, the event also
    ``exception.type`` where a failure opened the circuit. Returns a function that ends it.
    """
    meter = metrics.get_meter("sharedbreaker", meter_provider=meter_provider)
    counter = meter.create_counter(COUNTER, description="Transitions of shared circuits, by who caused them.")

    def note(notice: TransitionNotice) -> None:
        attributes = {
            "circuit_breaker.name": notice.name,
            "circuit_breaker.before": notice.before.value,
            "circuit_breaker.after": notice.after.value,
        }
        counter.add(1, attributes)
        if notice.exception:
            attributes["exception.type"] = notice.exception
        trace.get_current_span().add_event(EVENT, attributes)

    ends = [breaker.on_transition(note) for breaker in breakers]

    def end() -> None:
        for each in ends:
            each()

    return end
