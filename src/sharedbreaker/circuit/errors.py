"""What this package raises. A refusal and a Redis failure are never the same class."""

from __future__ import annotations

from typing import Any

from sharedbreaker.circuit.state import CircuitState

WHY_TEXT = {
    "open": "it is open",
    "held_open": "it is held open by hand",
    "probes_busy": "it is half-open and all of its probes are under way",
    "ramping_up": "it has just closed and lets through a growing share of calls",
    "too_many_in_flight": "as many calls as it lets through at once are under way",
    "redis_away": "Redis cannot be asked, and on_redis_error is 'reject'",
}


class SharedBreakerError(Exception):
    """The base of every error of this package."""


class CircuitBreakerError(SharedBreakerError):
    """The call was not made, because the circuit does not let it through.

    Attributes:
        name: the circuit's name.
        state: the ``CircuitState`` that rejected the call.
        retry_after: seconds until a call may get through, never negative; None where nobody
            knows, as with a circuit that is held open without an end.
        why: ``open``, ``held_open``, ``probes_busy``, ``ramping_up``, ``too_many_in_flight`` or
            ``redis_away``.

    """

    def __init__(self, name: str, state: CircuitState, retry_after: float | None, why: str) -> None:
        self.name = name
        # A queue that speaks JSON makes the error of the state's plain value.
        self.state = state if type(state) is CircuitState else CircuitState(state)
        self.retry_after = retry_after
        self.why = why
        super().__init__(name, state, retry_after, why)

    def __str__(self) -> str:
        # Worded when somebody reads it: most rejections are only caught.
        when = "" if self.retry_after is None else f"; try again in {self.retry_after:.3g} s"
        return f"circuit {self.name!r}: call not made, {WHY_TEXT.get(self.why, self.why)}{when}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by what the error was made of: task queues and process pools send errors around."""
        return type(self), (self.name, self.state, self.retry_after, self.why), self.__dict__


class StoreError(SharedBreakerError):
    """Redis could not be asked, or its answer made no sense. Says which circuit, and what to look at."""


class CircuitUnusableError(StoreError):
    """Redis answers, but not for this circuit: a key holds what no script wrote, or a script failed."""


class NoSuchCircuitError(SharedBreakerError, LookupError):
    """There is no circuit of that name in that Redis. Says where it was looked for."""


class CircuitBusyError(SharedBreakerError):
    """The circuit was not forgotten, because calls are in flight. Says how many."""


class SettingsError(SharedBreakerError, ValueError):
    """A setting makes no sense. Says which one, the value, and what is allowed."""
