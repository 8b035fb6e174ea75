"""tenacity: a rejection is not retried before the circuit may let a call through.

retry(wait=wait_retry_after(wait_exponential_jitter()), ...), around what runs under a breaker.
"""

from __future__ import annotations

from collections.abc import Callable

from tenacity import RetryCallState
from tenacity.wait import wait_base

from sharedbreaker.circuit.errors import CircuitBreakerError

__all__ = ["wait_retry_after"]


def wait_retry_after(otherwise: Callable[[RetryCallState], float]) -> wait_base:
    """Return tenacity's ``wait``: as ``otherwise`` says, but after a rejection at least its ``retry_after``.

    It is ``otherwise`` where nobody knows when the circuit may let a call through, as with one that is held
    open without an end. It ends no retry: ``stop_before_delay`` does, before a wait that is too long. Like
    every wait of tenacity's it can be added to others.
    """
    return _WaitRetryAfter(otherwise)


class _WaitRetryAfter(wait_base):
    def __init__(self, otherwise: Callable[[RetryCallState], float]) -> None:
        self._otherwise = otherwise

    def __call__(self, retry_state: RetryCallState) -> float:
        usual = self._otherwise(retry_state)
        error = None if retry_state.outcome is None else retry_state.outcome.exception()
        if not isinstance(error, CircuitBreakerError) or error.retry_after is None:
            return usual
        return max(usual, error.retry_after)
