"""How long Redis and calls take, as this process saw it."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from redis import Redis
from scraped import OPENMETRICS, Page

from guarded_calls import ServiceDownError, be_ignored, be_rejected, fail, succeed, work
from sharedbreaker import CircuitBreaker, Outcome, circuit_breaker, observation
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.prometheus import register_circuit_breakers, unregister_circuit_breakers
from sharedbreaker.integrations.prometheus.durations import Durations

REDIS = "circuit_breaker_redis_duration_seconds"
CALLS = "circuit_breaker_call_duration_seconds"
OWN_TIMEOUT = 7.25


def be_interrupted() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def registry() -> Iterator[CollectorRegistry]:
    registry = CollectorRegistry(auto_describe=True)
    yield registry
    unregister_circuit_breakers(registry=registry)


@pytest.fixture
def breaker(redis: Redis, redis_server: RedisServer) -> CircuitBreaker:
    # Connections are shared by URL and timeout. Those of another test may have been cut, and then the first
    # question is asked twice.
    return CircuitBreaker(
        50,
        expected_exception=ServiceDownError,
        name="orders",
        redis=redis_server.url,
        redis_timeout=OWN_TIMEOUT,
    )


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_each_question_to_redis_is_timed(
    breaker: CircuitBreaker, registry: CollectorRegistry, accept: str
) -> None:
    """Each call asks twice, the first one declares as well, and the time adds up to something."""
    register_circuit_breakers([breaker], registry=registry)
    succeed(breaker, 3)
    breaker.get_metrics()

    page = Page(registry, accept)

    assert page.value(f"{REDIS}_count", step="admit") == 3
    assert page.value(f"{REDIS}_count", step="report") == 3
    assert page.value(f"{REDIS}_count", step="other") == 2
    total = page.value(f"{REDIS}_sum", step="admit")
    assert total is not None
    assert 0 < total < 60
    assert page.value(f"{REDIS}_bucket", step="admit", le="+Inf") == 3
    assert page.value("circuit_breaker_redis_unanswered_total") == 0
    assert page.labels(f"{REDIS}_count", "process") == {f"{os.uname().nodename}:{os.getpid()}"}


def test_a_script_that_redis_forgot_is_no_missing_answer(
    breaker: CircuitBreaker, registry: CollectorRegistry, redis: Redis
) -> None:
    """Redis answers that it wants the whole script: each step is one question, and none is unanswered."""
    register_circuit_breakers([breaker], registry=registry)
    succeed(breaker, 2)
    redis.script_flush()
    succeed(breaker)

    page = Page(registry)

    assert page.value(f"{REDIS}_count", step="admit") == 3
    assert page.value(f"{REDIS}_count", step="report") == 3
    assert page.value("circuit_breaker_redis_unanswered_total") == 0


def test_calls_are_timed_where_that_is_wanted(breaker: CircuitBreaker, registry: CollectorRegistry) -> None:
    """Calls are counted by their outcome; by default there is no such family."""
    register_circuit_breakers([breaker], registry=registry)
    assert CALLS not in Page(registry).families

    register_circuit_breakers([breaker], registry=registry, call_durations=True)
    succeed(breaker, 2)
    fail(breaker)
    be_ignored(breaker)
    circuit_breaker(breaker)(work)()
    with pytest.raises(KeyboardInterrupt):
        breaker.call(be_interrupted)

    page = Page(registry)
    assert {outcome.value: page.value(f"{CALLS}_count", outcome=outcome.value) for outcome in Outcome} == {
        "success": 3,
        "failure": 1,
        "ignored": 1,
        "released": 1,
    }


def test_a_duration_falls_into_its_bucket() -> None:
    """A bucket's bound belongs to it, and buckets count what is below them too."""
    from prometheus_client.metrics_core import Metric

    durations = Durations(("step",), (0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 1.0, 7.0):
        durations.observe(("admit",), seconds)
    metric = Metric("x", "X.", "histogram")
    durations.add_samples(metric, {"process": "p"})

    told = {(sample.name, sample.labels.get("le")): sample.value for sample in metric.samples}
    assert told == {
        ("x_bucket", "0.1"): 2,
        ("x_bucket", "1.0"): 4,
        ("x_bucket", "+Inf"): 5,
        ("x_count", None): 5,
        ("x_sum", None): pytest.approx(8.65),
    }


def test_a_call_that_nobody_may_make_has_no_duration(
    breaker: CircuitBreaker, registry: CollectorRegistry
) -> None:
    """A rejected call did not run, so it took no time that could be told."""
    register_circuit_breakers([breaker], registry=registry, call_durations=True)
    breaker.force_open()
    be_rejected(breaker, 3)

    page = Page(registry)

    assert {page.value(f"{CALLS}_count", outcome=outcome.value) for outcome in Outcome} == {0}


def test_the_duration_of_a_call_is_its_own(breaker: CircuitBreaker) -> None:
    """What is told is how long the function ran, with the outcome that the breaker counts."""
    told: list[tuple[str, Outcome, float]] = []
    seconds: list[float] = []

    def timed_by_itself() -> None:
        started = time.monotonic()
        while time.monotonic() == started:
            pass
        seconds.append(time.monotonic() - started)

    end = observation.observe_calls(lambda name, outcome, took: told.append((name, outcome, took)))
    try:
        breaker.call(timed_by_itself)
    finally:
        end()
    breaker.call(timed_by_itself)

    assert [(name, outcome) for name, outcome, _ in told] == [("orders", Outcome.SUCCESS)]
    assert told[0][2] >= seconds[0]


def test_an_observer_that_fails_changes_nothing(
    breaker: CircuitBreaker, caplog: pytest.LogCaptureFixture
) -> None:
    """What an observer raises is logged; the call and the other observers go on."""
    told: list[str] = []

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("observer")

    ends = [
        observation.observe_redis(broken),
        observation.observe_calls(broken),
        observation.observe_redis(lambda step, _seconds, *, answered: told.append(step)),
    ]
    try:
        succeed(breaker)
    finally:
        for end in ends:
            end()

    assert told == ["declare", "admit", "report"]
    assert "observer" in caplog.text


def test_a_collector_that_is_gone_observes_nothing(
    breaker: CircuitBreaker, registry: CollectorRegistry
) -> None:
    """Unregistered and forgotten, a collector leaves no observer behind."""
    before = (observation.redis_observers, observation.call_observers)
    register_circuit_breakers([breaker], registry=registry, call_durations=True)
    assert len(observation.redis_observers) == len(before[0]) + 1
    unregister_circuit_breakers(registry=registry)

    assert (observation.redis_observers, observation.call_observers) == before


def test_a_forked_child_begins_at_zero(breaker: CircuitBreaker, registry: CollectorRegistry) -> None:
    """A child's figures are its own, under its own name, with its parent's left out."""
    register_circuit_breakers([breaker], registry=registry)
    succeed(breaker, 5)
    Page(registry)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        succeed(breaker)
        page = Page(registry)
        told = (page.value(f"{REDIS}_count", step="admit"), page.labels(f"{REDIS}_count", "process"))
        os.write(writer, pickle.dumps((told, page.value("circuit_breaker_calls_total", result="success"))))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        (count, processes), successes = pickle.loads(answer.read())  # noqa: S301 - our own child's
    os.waitpid(child, 0)

    assert count == 1
    assert processes == {f"{os.uname().nodename}:{child}"}
    assert successes == 6
