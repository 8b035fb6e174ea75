"""Which kind of breaker the tests that run now are about: for threads, or for event loops."""

from __future__ import annotations

from typing import Any

from driven_async_breaker import DrivenAsyncBreaker, close_loop
from sharedbreaker import CircuitBreaker

KINDS: dict[str, type[CircuitBreaker]] = {"sync": CircuitBreaker, "async": DrivenAsyncBreaker}
FOR_BOTH = ("core",)
"""Folders whose tests run once for each kind."""
FILES_FOR_BOTH = (
    "test_topology_sentinel",
    "test_topology_cluster",
    "test_topology_outage_memory",
    "test_case_half_open",
    "test_case_half_open_escapes",
    "test_case_half_open_nested",
    "test_case_stale_results",
    "test_case_counting",
    "test_case_counting_fleet",
    "test_case_classification",
    "test_case_classification_answers",
    "test_case_classification_errors",
    "test_case_classification_hangs",
    "test_case_classification_quotas",
    "test_case_classification_transport",
    "test_case_redis_outage",
    "test_case_redis_outage_memory",
    "test_case_redis_outage_sick_pod",
    "test_case_redis_state",
    "test_case_redis_state_clocks",
    "test_case_redis_state_fields",
    "test_case_redis_state_idle",
    "test_case_redis_state_lifetime",
    "test_case_redis_state_names",
    "test_case_redis_state_server",
    "test_case_streaming_async_callables",
    "test_case_streaming_async_disconnects",
    "test_case_streaming_async_streams",
)
"""And files: what is asked of a place is the same. test_topology_async_clients tries the ways there."""


class _Current:
    kind = "sync"


def make_breaker(*args: Any, **settings: Any) -> CircuitBreaker:
    """Make a breaker of the kind that the running test is about."""
    return KINDS[_Current.kind](*args, **settings)


def is_async() -> bool:
    return _Current.kind == "async"


def begin(kind: str) -> None:
    _Current.kind = kind


def end() -> None:
    close_loop()
    _Current.kind = "sync"
