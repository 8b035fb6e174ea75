"""The rules that are compared, one line each. Whatever is not named is as it is by default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sharedbreaker.circuit.rates import FailureRate, LastCalls, SlowCallRate, rate_settings
from sharedbreaker.circuit.settings import LARGEST_COUNT, Settings

SOME_CALLS = FailureRate(0.5, LastCalls(10), minimum_calls=5)
MANY_CALLS = FailureRate(0.2, LastCalls(50), minimum_calls=20)
ONE_MINUTE = FailureRate(0.2, 60, minimum_calls=20)
SLOW_MINUTE = SlowCallRate(10, 0.5, 60, minimum_calls=5)
SLOW_CALLS = SlowCallRate(10, 0.5, LastCalls(10), minimum_calls=5)


@dataclass(frozen=True)
class Rule:
    """One configuration of a circuit."""

    name: str
    settings: Settings
    """As they are in force."""

    @property
    def is_the_same_alone(self) -> bool:
        """Whether there is nothing to compare with one breaker per process."""
        return self.settings.failure_threshold == LARGEST_COUNT

    @property
    def needs_a_fleet(self) -> bool:
        """Whether it makes no sense for a breaker that knows of one process alone."""
        return self.settings.minimum_reporters > 1


def _rule(
    name: str,
    failure_rate: FailureRate | None = None,
    slow_call_rate: SlowCallRate | None = None,
    **others: Any,
) -> Rule:
    return Rule(name, Settings(**rate_settings(failure_rate, slow_call_rate), **others))


RULES = (
    _rule("no breaker", failure_threshold=LARGEST_COUNT),
    _rule("5 in a row (default)"),
    _rule("3 in a row", failure_threshold=3),
    _rule("half of the last 10, from 5", SOME_CALLS, failure_threshold=None),
    _rule("a fifth of the last 50, from 20", MANY_CALLS, failure_threshold=None),
    _rule("5 in a row, or a fifth of a minute, from 20", ONE_MINUTE),
    _rule("5 in a row, or half of a minute slow", slow_call_rate=SLOW_MINUTE),
    _rule("5 in a row, or half of the last 10 slow", slow_call_rate=SLOW_CALLS),
    _rule("5 in a row, twice as long each time", timeout_growth_percent=200),
    _rule("5 in a row, ramp-up of 60 s", ramp_up=60),
    _rule("5 in a row, by 4 processes", minimum_reporters=4),
    _rule(
        "5 in a row, a fifth or half slow of a minute, by 4",
        ONE_MINUTE,
        SLOW_MINUTE,
        minimum_reporters=4,
    ),
)
