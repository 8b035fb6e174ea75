"""What every task of another process is made of."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

from sharedbreaker import CircuitBreaker, CircuitBreakerError


class ServiceDownError(Exception):
    """The service failed."""


class BadRequestError(Exception):
    """The caller is wrong."""


def breaker_of(url: str, **settings: Any) -> CircuitBreaker:
    """A breaker that waits for Redis as long as it takes: a busy machine is no fault."""
    return CircuitBreaker(redis=url, **settings_of(settings))


def settings_of(changed: dict[str, Any]) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "name": "orders",
        "expected_exception": ServiceDownError,
        "redis_timeout": 20,
        "failure_threshold": 3,
        "timeout": 60,
        "probe_timeout": 20,
        "lease_timeout": 600,
    }
    return {**defaults, **changed}


def wait_for_the_word() -> None:
    say("ready")
    sys.stdin.readline()


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def service_down() -> None:
    raise ServiceDownError("503")


def end_of(breaker: CircuitBreaker, work: Callable[[], object]) -> str:
    """How a call ended for its caller."""
    try:
        breaker.call(work)
    except CircuitBreakerError as error:
        return f"rejected_{error.state}"
    except ServiceDownError:
        return "failure"
    except BadRequestError:
        return "ignored"
    except (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError):
        return "released"
    return "success"


def run_all(threads: list[threading.Thread]) -> None:
    wait_for_the_word()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def counted(ends: list[str]) -> dict[str, int]:
    return {end: ends.count(end) for end in set(ends)}
