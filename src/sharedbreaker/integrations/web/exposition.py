"""The page that Prometheus scrapes, with prometheus-client where that is installed and without it."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable

from sharedbreaker.circuit.exposition import exposition
from sharedbreaker.integrations.web.circuits import Breaker, Circuits
from sharedbreaker.integrations.web.messages import Request, Response
from sharedbreaker.store.link import RedisLike

_TEXT = "text/plain; version=0.0.4; charset=utf-8"

Page = Callable[[Request], Response]


def metrics_page_of(
    circuits: Circuits,
    breakers: tuple[Breaker, ...] | None,
    redis: RedisLike,
    prefix: str | None,
    timeout: float,
) -> Page:
    """Return what answers a scrape: always 200, within ``timeout``, and without figures of a silent Redis."""
    if importlib.util.find_spec("prometheus_client") is None:
        return lambda _request: _plain(circuits)
    return _with_library(breakers, redis, prefix, timeout)


def _plain(circuits: Circuits) -> Response:
    seen = circuits.answered_for()
    there = [circuit for key, circuit in seen.circuits.items() if key in seen.told]
    is_up = seen.is_complete and len(there) == len(seen.circuits)
    return Response(200, {"Content-Type": _TEXT}, exposition(there, is_up=is_up).encode())


def _with_library(
    breakers: tuple[Breaker, ...] | None, redis: RedisLike, prefix: str | None, timeout: float
) -> Page:
    from prometheus_client import REGISTRY, CollectorRegistry  # noqa: PLC0415 - optional library

    from sharedbreaker.integrations.prometheus import (  # noqa: PLC0415 - optional library
        metrics_page,
        register_circuit_breakers,
    )
    from sharedbreaker.integrations.prometheus.registration import (  # noqa: PLC0415 - optional library
        registered_in,
    )

    own = CollectorRegistry()
    lock = threading.Lock()

    def registry_to_show() -> CollectorRegistry:
        # An app that registered its circuits itself wants them beside its other metrics.
        if registered_in(REGISTRY) is not None:
            return REGISTRY
        # Not before somebody scrapes: from then on each question to Redis is timed.
        with lock:
            if registered_in(own) is None:
                register_circuit_breakers(breakers, registry=own, redis=redis, prefix=prefix, timeout=timeout)
        return own

    def page(request: Request) -> Response:
        registry = registry_to_show()
        body, content_type = metrics_page(
            request.header("accept"), names=request.asked("name[]"), registry=registry
        )
        return Response(200, {"Content-Type": content_type}, body)

    return page
