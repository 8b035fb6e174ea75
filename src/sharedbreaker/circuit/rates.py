"""Rules over the latest calls: rates of failures and of slow calls, as users write them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sharedbreaker.circuit.errors import SettingsError


@dataclass(frozen=True)
class LastCalls:
    """A window over the last so many calls of the fleet, 1 to 1000, however long ago they were."""

    calls: int


@dataclass(frozen=True)
class FailureRate:
    """Opens the circuit when so large a share of the latest calls failed.

    It is looked at whenever a call fails; a success opens nothing. Ignored and released calls are in neither
    number. Counting begins anew whenever the circuit closes.

    Args:
        threshold: share of failures from which on the circuit opens, 0.01 to 1 in whole hundredths.
        window: seconds that a call counts, or ``LastCalls(n)``. Seconds are kept in ten slices, so that a
            call counts for nine to ten tenths of them; the last calls are kept exactly.
        minimum_calls: below so many calls in the window there is no rate. At least 1.

    """

    threshold: float = 0.5
    window: float | timedelta | LastCalls = 60.0
    minimum_calls: int = 20

    def settings(self) -> dict[str, object]:
        """Return it as arguments of ``Settings``."""
        return _rate_settings("failure_rate", self.threshold, self.window, self.minimum_calls)


@dataclass(frozen=True)
class SlowCallRate:
    """Opens the circuit when so large a share of the latest calls was slow, or hangs.

    A call that is still under way after ``duration`` counts as slow at once, so that a service that hangs
    opens the circuit while everybody still waits. How long a call took is measured by its own process'
    monotonic clock; how long it is under way, by Redis' clock.

    Args:
        duration: seconds from which on a call is slow, whether it succeeds or fails.
        threshold: share of slow calls from which on the circuit opens, 0.01 to 1 in whole hundredths.
        window: as for ``FailureRate``.
        minimum_calls: as for ``FailureRate``; calls under way beyond ``duration`` count towards it.

    """

    duration: float | timedelta
    threshold: float = 0.5
    window: float | timedelta | LastCalls = 60.0
    minimum_calls: int = 20

    def settings(self) -> dict[str, object]:
        """Return it as arguments of ``Settings``."""
        return {
            **_rate_settings("slow_call_rate", self.threshold, self.window, self.minimum_calls),
            "slow_call_duration": self.duration,
        }


def rate_settings(failure_rate: FailureRate | None, slow_call_rate: SlowCallRate | None) -> dict[str, Any]:
    """Return both as arguments of ``Settings``; raise SettingsError for what is neither."""
    settings: dict[str, Any] = {}
    if failure_rate is not None:
        if not isinstance(failure_rate, FailureRate):
            raise SettingsError(f"failure_rate must be a FailureRate or None, not {failure_rate!r}")
        settings.update(failure_rate.settings())
    if slow_call_rate is not None:
        if not isinstance(slow_call_rate, SlowCallRate):
            raise SettingsError(f"slow_call_rate must be a SlowCallRate or None, not {slow_call_rate!r}")
        settings.update(slow_call_rate.settings())
    return settings


def percent_in(argument: str, value: object, least: float, most: float) -> int:
    """Return a factor as whole percents; raise SettingsError unless it is one in whole hundredths."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and isinstance(value, (int, float)) and least <= value <= most:
        percent = round(value * 100)
        if abs(percent - value * 100) < 1e-6:  # noqa: PLR2004 - what binary fractions leave
            return percent
    raise SettingsError(f"{argument} must be from {least:g} to {most:g} in whole hundredths, not {value!r}")


def observes(argument: str, value: object) -> bool:
    """Return whether nothing is to be enforced; raise SettingsError for what is no mode."""
    if value not in ("enforce", "observe"):
        raise SettingsError(f"{argument} must be 'enforce' or 'observe', not {value!r}")
    return value == "observe"


def _rate_settings(name: str, threshold: object, window: object, minimum_calls: object) -> dict[str, object]:
    settings: dict[str, object] = {
        f"{name}_percent": percent_in(f"{name}'s threshold", threshold, 0.01, 1),
        f"{name}_minimum_calls": minimum_calls,
    }
    if isinstance(window, LastCalls):
        settings[f"{name}_window_calls"] = window.calls
    else:
        settings[f"{name}_window"] = window
    return settings
