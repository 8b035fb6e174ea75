"""What a web app answers where a circuit rejected a call: the same from every framework."""

from __future__ import annotations

import math
from typing import Any

from sharedbreaker.circuit.errors import CircuitBreakerError

STATUS = 503


def retry_after_seconds(seconds: float) -> str:
    """Return the value of a Retry-After header: whole seconds, never too early, at least 1.

    With a 0, clients would come at once.
    """
    return str(max(1, math.ceil(seconds)))


def headers_of(refusal: CircuitBreakerError) -> dict[str, str]:
    """Return the headers of the answer: never to be cached, and when to come back, where that is known."""
    headers = {"Cache-Control": "no-store"}
    if refusal.retry_after is not None:
        headers["Retry-After"] = retry_after_seconds(refusal.retry_after)
    return headers


def document_of(refusal: CircuitBreakerError) -> dict[str, Any]:
    """Return the answer's body, to be sent as JSON: breaker, state, and the seconds to wait or None.

    Why the circuit is as it is, and where its Redis is, is nothing for a stranger to read.
    """
    return {
        "outcome": "rejected",
        "breaker": refusal.name,
        "state": refusal.state.value,
        "retry_after": refusal.retry_after,
    }
