"""Transitions as OpenTelemetry sees them, through its real SDK."""

from __future__ import annotations

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis import Redis

from circuit_in_redis import fail, new_breaker
from sharedbreaker.integrations.opentelemetry import instrument


def test_a_transition_is_counted_and_on_its_span(redis: Redis) -> None:
    """The call that opens the circuit has an event that says so, and the counter knows the circuit."""
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader])
    spans = InMemorySpanExporter()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    breaker = new_breaker(redis)
    end = instrument([breaker], meters)

    with tracers.get_tracer("test").start_as_current_span("a call"):
        fail(breaker, 3)
    end()
    breaker.force_close()

    (span,) = spans.get_finished_spans()
    (event,) = span.events
    assert event.name == "circuit_breaker.transition"
    assert dict(event.attributes or {}) == {
        "circuit_breaker.name": "orders",
        "circuit_breaker.before": "closed",
        "circuit_breaker.after": "open",
        "exception.type": "ServiceDownError",
    }
    data = reader.get_metrics_data()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    assert metric.name == "circuit_breaker.state_transitions"
    (point,) = metric.data.data_points
    assert getattr(point, "value", None) == 1
    meters.shutdown()
    tracers.shutdown()
