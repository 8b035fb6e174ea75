"""stamina: a rejection is not retried before the circuit may let a call through.

stamina.retry(on=rejection_or(ServerError)), around what runs under a breaker. Needs stamina 25.2 or newer.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from sharedbreaker.circuit.errors import CircuitBreakerError

__all__ = ["rejection_or"]

Backoff = bool | float | timedelta
"""Whether to try again; or that, and after which time."""
On = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], Backoff]


def rejection_or(on: On, *, longest: float = 45.0) -> Callable[[Exception], Backoff]:
    """Return stamina's ``on``: retry what ``on`` names, and rejections when their ``retry_after`` is over.

    Where nobody knows when the circuit may let a call through, as with one that is held open without an end,
    stamina's own back-off goes on.

    Args:
        on: what else is retried, as stamina takes it: a class, several, or a function.
        longest: seconds; a rejection that asks for more is not retried but raised at once. stamina's
            ``timeout`` does not see to that: it looks at the time before a wait and not after it. Default 45,
            as stamina's.

    """

    def back_off(error: Exception) -> Backoff:
        if isinstance(error, CircuitBreakerError):
            if error.retry_after is None:
                return True
            return error.retry_after if error.retry_after <= longest else False
        if isinstance(on, (type, tuple)):
            return isinstance(error, on)
        return on(error)

    return back_off
