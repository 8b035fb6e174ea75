"""The settings of a circuit, checked once, where they enter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from sharedbreaker.circuit.errors import SettingsError

LONGEST_SECONDS = 31_536_000.0
LONGEST_STALENESS = 3600.0
LARGEST_COUNT = 1_000_000
MOST_PROBES = 1_000


@dataclass(frozen=True)
class Settings:
    """How a circuit decides. All of it is kept in Redis, so that every worker obeys one configuration.

    Times are seconds, as int, float or timedelta; Redis keeps them in whole milliseconds.
    """

    failure_threshold: int = 5
    """Failures in a row that open the circuit. At least 1."""
    timeout: float | timedelta = 60.0
    """Seconds the circuit stays open before a probe is let through.

    It does not limit how long a call may take.
    """
    success_threshold: int = 2
    """Successful probes that close the circuit. At least 1."""
    half_open_max_calls: int | None = None
    """Probes under way at once in the whole fleet, 1 to 1000. None means as many as `success_threshold`."""
    probe_timeout: float | timedelta = 60.0
    """Seconds a probe keeps its place without a report: what a worker killed in mid-probe costs at most."""
    lease_timeout: float | timedelta = 900.0
    """Seconds any other call stays on the books without a report; then it is counted as lost."""
    idle_ttl: float | timedelta | None = None
    """Seconds after which a closed circuit that nobody calls or holds is forgotten. None means never."""
    max_timeout: float | timedelta = 300.0
    """Seconds the circuit stays open at most where the service itself said when to come again.

    It never makes an opening shorter than `timeout` would be.
    """
    push: bool = False
    """Whether changes are also published, for processes that act on a view."""

    def __post_init__(self) -> None:
        _check_count("failure_threshold", self.failure_threshold, LARGEST_COUNT)
        _check_count("success_threshold", self.success_threshold, LARGEST_COUNT)
        if self.half_open_max_calls is not None:
            _check_count("half_open_max_calls", self.half_open_max_calls, MOST_PROBES)
        for argument in ("timeout", "probe_timeout", "lease_timeout", "max_timeout"):
            milliseconds_in(argument, getattr(self, argument))
        if not isinstance(self.push, bool):
            raise SettingsError(f"push must be True or False, not {self.push!r}")
        if self.idle_ttl is not None:
            longest_lease = max(
                milliseconds_in("probe_timeout", self.probe_timeout),
                milliseconds_in("lease_timeout", self.lease_timeout),
            )
            if milliseconds_in("idle_ttl", self.idle_ttl) < longest_lease:
                raise SettingsError(
                    "idle_ttl must not be shorter than probe_timeout or lease_timeout, or a circuit "
                    f"would be forgotten under its own calls; it is {self.idle_ttl!r}"
                )

    def fields(self) -> dict[str, str]:
        """Return the settings as the fields of the hash: whole numbers, times in milliseconds."""
        return dict(self._fields)

    @cached_property
    def _fields(self) -> dict[str, str]:
        probes = self.half_open_max_calls
        if probes is None:
            probes = min(self.success_threshold, MOST_PROBES)
        idle_ttl_ms = 0 if self.idle_ttl is None else milliseconds_in("idle_ttl", self.idle_ttl)
        return {
            "failure_threshold": str(self.failure_threshold),
            "success_threshold": str(self.success_threshold),
            "half_open_max_calls": str(probes),
            "open_timeout_ms": str(milliseconds_in("timeout", self.timeout)),
            "probe_timeout_ms": str(milliseconds_in("probe_timeout", self.probe_timeout)),
            "lease_timeout_ms": str(milliseconds_in("lease_timeout", self.lease_timeout)),
            "idle_ttl_ms": str(idle_ttl_ms),
            "max_timeout_ms": str(milliseconds_in("max_timeout", self.max_timeout)),
            "push": str(int(self.push)),
        }


def seconds_in(argument: str, value: object) -> float:
    """Return ``value`` as seconds; raise SettingsError unless it is a time from 1 ms to a year."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, (int, float))
        or not 0.001 <= seconds <= LONGEST_SECONDS  # noqa: PLR2004 - one millisecond
    ):
        raise SettingsError(
            f"{argument} must be seconds from 0.001 to {LONGEST_SECONDS:.0f} (a year), not {value!r}"
        )
    return float(seconds)


def staleness_in(argument: str, value: object) -> float:
    """Return ``value`` as seconds; raise SettingsError unless it is 0 or a time from 1 ms to an hour."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if seconds == 0 and not isinstance(seconds, bool):
        return 0.0
    if not isinstance(seconds, bool) and isinstance(seconds, (int, float)) and seconds <= LONGEST_STALENESS:
        return seconds_in(argument, value)
    raise SettingsError(
        f"{argument} must be 0 or seconds from 0.001 to {LONGEST_STALENESS:.0f} (an hour), not {value!r}"
    )


def milliseconds_in(argument: str, value: object) -> int:
    """Return ``value``, seconds or a timedelta, as whole milliseconds."""
    return round(seconds_in(argument, value) * 1000)


def _check_count(argument: str, value: object, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise SettingsError(f"{argument} must be a whole number from 1 to {most}, not {value!r}")
