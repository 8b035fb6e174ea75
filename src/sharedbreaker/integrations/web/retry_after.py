"""When to come back, as HTTP says it."""

from __future__ import annotations

import math

from sharedbreaker.circuit.errors import CircuitBreakerError
from sharedbreaker.integrations.web.messages import Response, json_response


def retry_after_seconds(seconds: float) -> str:
    """Return the value of a Retry-After header: whole seconds, never too early, at least 1."""
    return str(max(1, math.ceil(seconds)))


def rejection_response(rejection: CircuitBreakerError) -> Response:
    """Return what a client of the app is told whose call was rejected: 503, and when to come back."""
    headers = (
        {} if rejection.retry_after is None else {"Retry_After": retry_after_seconds(rejection.retry_after)}
    )
    document = {
        "outcome": "rejected",
        "breaker": rejection.name,
        "state": rejection.state.value,
        "retry_after": rejection.retry_after,
    }
    return json_response(503, document, Cache_Control="no-store", **headers)
