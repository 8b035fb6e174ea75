"""What is pickled by the cases: functions of a module, which another process imports."""

from __future__ import annotations

from sharedbreaker import CircuitBreaker, CircuitBreakerError, circuit_breaker

COUNTED = "in-another-process"


@circuit_breaker(CircuitBreaker(name=COUNTED))
def guarded_function() -> str:
    return "done"


def raise_every_attribute(url: str) -> None:
    """Be refused by an open circuit, and let the refusal out with something of one's own on it."""
    breaker = CircuitBreaker(name=COUNTED, redis=url, redis_timeout=5)
    try:
        breaker.call(int)
    except CircuitBreakerError as error:
        error.__dict__["added"] = "in the worker"
        raise
