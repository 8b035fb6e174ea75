"""What every part of the fault run agrees on: the circuits, their settings, and the bounds that are asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

REDIS_TIMEOUT = 0.25
REDIS_RETRY_INTERVAL = 0.3
PROBE_TIMEOUT = 1.0
LEASE_TIMEOUT = 6.0
LONGEST_CALL = 0.45
"""Seconds that the upstream takes at most."""

THREADS_PER_WORKER = 2
WAIT_SLACK = 0.25
"""What a wait may exceed `redis_timeout` by: two cores carry a dozen busy processes, and none has
priority."""
RECOVERY_SLACK = 1.0

OUTCOMES = ("success", "failure", "ignored", "released")
TALLY_OF = {
    "success": "successful_calls",
    "failure": "failed_calls",
    "ignored": "ignored_calls",
    "released": "released_calls",
    "rejected": "rejected_calls",
}


@dataclass(frozen=True)
class Terms:
    """The settings of one circuit."""

    name: str
    failure_threshold: int
    timeout: float
    success_threshold: int
    half_open_max_calls: int


CIRCUITS = (
    Terms("fault_text_generation", 4, 0.4, 2, 2),
    Terms("fault_vision", 3, 0.3, 2, 1),
    Terms("fault_imagen", 3, 0.5, 3, 3),
)
NAMES = tuple(terms.name for terms in CIRCUITS)
TERMS_OF = {terms.name: terms for terms in CIRCUITS}
RECOVERY_BOUND = (
    LONGEST_CALL
    + max(terms.timeout for terms in CIRCUITS)
    + PROBE_TIMEOUT
    + REDIS_RETRY_INTERVAL
    + REDIS_TIMEOUT
    + RECOVERY_SLACK
)
"""A probe under way at the last fault may still fail; then one opening, one dead probe's lease, one retry."""


def breaker_settings(terms: Terms, max_staleness: float = 0.0) -> dict[str, Any]:
    """Return the arguments of a circuit's breaker, the same in every process."""
    return {
        "name": terms.name,
        "failure_threshold": terms.failure_threshold,
        "timeout": terms.timeout,
        "success_threshold": terms.success_threshold,
        "half_open_max_calls": terms.half_open_max_calls,
        "probe_timeout": PROBE_TIMEOUT,
        "lease_timeout": LEASE_TIMEOUT,
        "max_staleness": max_staleness,
        "redis_timeout": REDIS_TIMEOUT,
        "redis_retry_interval": REDIS_RETRY_INTERVAL,
    }
