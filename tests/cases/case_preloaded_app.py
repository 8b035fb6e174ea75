"""A web app that has called its breaker before gunicorn forks its workers, when it runs with --preload."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from sharedbreaker import CircuitBreaker, CircuitBreakerError

STALENESS = float(os.environ["APP_STALENESS"])
breakers = [
    CircuitBreaker(name=name, redis=os.environ["APP_REDIS_URL"], redis_timeout=20, max_staleness=STALENESS)
    for name in ("closed", "open")
]


def iterate() -> Iterator[int]:
    yield from range(3)


for breaker in breakers:
    with suppress(CircuitBreakerError):  # where each worker loads this, the first one has opened it
        breaker.call(int)
        next(breaker.call(iterate))
breakers[1].force_open("before the fork")


def app(
    environment: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    breaker = breakers[environment["PATH_INFO"] == "/open"]
    try:
        # A stream that is not read to its end is given back by a thread of the breaker's own.
        next(breaker.call(iterate))
        breaker.call(int)
        end = "ran"
    except CircuitBreakerError as error:
        end = f"{error.name} {error.why}"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Connection", "close")])
    return [f"{os.getpid()} {end}".encode()]
