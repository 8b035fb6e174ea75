"""For tests of code that stands behind breakers: circuits without Redis, time that moves on, states at will.

Everything here serves CircuitBreaker and AsyncCircuitBreaker alike, and is called without ``await``: it asks
nothing that takes time to wait for, but for Redis where the circuit is there. The fixtures for pytest are in
``sharedbreaker.testing.fixtures``; nothing else here needs pytest.
"""

from sharedbreaker.testing.in_process import InProcessCircuits
from sharedbreaker.testing.states import always_passing, always_rejecting, held_open, let_through, trip
from sharedbreaker.testing.time_passing import elapse, end_open_period

__all__ = [
    "InProcessCircuits",
    "always_passing",
    "always_rejecting",
    "elapse",
    "end_open_period",
    "held_open",
    "let_through",
    "trip",
]
