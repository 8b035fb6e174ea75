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
MOST_CALLS = 1_000
MOST_REPORTERS = 16
MOST_GROWTH_PERCENT = 1_000


@dataclass(frozen=True)
class Settings:
    """How a circuit decides. All of it is kept in Redis, so that every worker obeys one configuration.

    Times are seconds, as int, float or timedelta; Redis keeps them in whole milliseconds.
    """

    failure_threshold: int | None = 5
    """Failures in a row that open the circuit. At least 1. None leaves that to a rate."""
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
    failure_rate_percent: int = 0
    """Share of failures among the latest calls that opens the circuit, 1 to 100. 0 means no such rule."""
    failure_rate_window: float | timedelta | None = None
    """Seconds that a call counts towards it."""
    failure_rate_window_calls: int = 0
    """How many of the last calls count towards it instead, up to 1000. 0 means to go by time."""
    failure_rate_minimum_calls: int = 1
    """Below so many calls there is no rate."""
    slow_call_rate_percent: int = 0
    """The same four of calls that are slow or hang."""
    slow_call_rate_window: float | timedelta | None = None
    slow_call_rate_window_calls: int = 0
    slow_call_rate_minimum_calls: int = 1
    slow_call_duration: float | timedelta | None = None
    """Seconds from which on a call is slow. Shorter than `lease_timeout`."""
    timeout_growth_percent: int = 100
    """What each opening's time is of the one before, without a quiet time between them: 100 to 1000."""
    ramp_up: float | timedelta | None = None
    """Seconds after closing in which a growing share of calls is let through. None means all at once."""
    minimum_reporters: int = 1
    """How many processes have to see failures before the circuit opens, 1 to 16.

    More than 1 goes with windows of seconds alone.
    """
    max_in_flight: int | None = None
    """Calls under way at once in the whole fleet at most. None means as many as there are."""
    observe: bool = False
    """Whether all is decided and counted, and nothing is enforced."""

    def __post_init__(self) -> None:
        self._check_rules()
        _check_count("success_threshold", self.success_threshold, LARGEST_COUNT)
        if self.half_open_max_calls is not None:
            _check_count("half_open_max_calls", self.half_open_max_calls, MOST_PROBES)
        if self.observe not in (False, True):
            raise SettingsError(f"observe must be True or False, not {self.observe!r}")
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

    def _check_rules(self) -> None:
        is_rated = self.failure_rate_percent or self.slow_call_rate_percent
        if self.failure_threshold is not None or not is_rated:
            _check_count("failure_threshold", self.failure_threshold, LARGEST_COUNT)
        for name in ("failure_rate", "slow_call_rate"):
            check_rate(self, name)
        if self.slow_call_rate_percent:
            duration_ms = milliseconds_in("slow_call_duration", self.slow_call_duration)
            if duration_ms >= milliseconds_in("lease_timeout", self.lease_timeout):
                raise SettingsError(
                    "slow_call_duration must be shorter than lease_timeout, or a call that hangs is lost "
                    f"before it is slow; it is {self.slow_call_duration!r}"
                )
        _check_count("timeout_growth_percent", self.timeout_growth_percent, MOST_GROWTH_PERCENT, 100)
        _check_count("minimum_reporters", self.minimum_reporters, MOST_REPORTERS)
        is_of_calls = self.failure_rate_window_calls or self.slow_call_rate_window_calls
        if self.minimum_reporters > 1 and is_of_calls:
            raise SettingsError(
                "minimum_reporters goes with windows of seconds alone: of the last calls nobody knows how "
                "old they are, so a process that failed long ago would count for ever"
            )
        if self.max_in_flight is not None:
            _check_count("max_in_flight", self.max_in_flight, LARGEST_COUNT, 0)
        optional_milliseconds_in("ramp_up", self.ramp_up)

    def fields(self) -> dict[str, str]:
        """Return the settings as the fields of the hash: whole numbers, times in milliseconds."""
        return dict(self._fields)

    @cached_property
    def _fields(self) -> dict[str, str]:
        probes = self.half_open_max_calls
        if probes is None:
            probes = min(self.success_threshold, MOST_PROBES)
        return {
            "failure_threshold": str(self.failure_threshold or 0),
            "success_threshold": str(self.success_threshold),
            "half_open_max_calls": str(probes),
            "open_timeout_ms": str(milliseconds_in("timeout", self.timeout)),
            "probe_timeout_ms": str(milliseconds_in("probe_timeout", self.probe_timeout)),
            "lease_timeout_ms": str(milliseconds_in("lease_timeout", self.lease_timeout)),
            "idle_ttl_ms": str(optional_milliseconds_in("idle_ttl", self.idle_ttl)),
            "max_timeout_ms": str(milliseconds_in("max_timeout", self.max_timeout)),
            "push": str(int(self.push)),
            **rate_fields(self, "failure_rate"),
            **rate_fields(self, "slow_call_rate"),
            "slow_call_duration_ms": str(
                optional_milliseconds_in("slow_call_duration", self.slow_call_duration)
            ),
            "timeout_growth_percent": str(self.timeout_growth_percent),
            "ramp_up_ms": str(optional_milliseconds_in("ramp_up", self.ramp_up)),
            "minimum_reporters": str(self.minimum_reporters),
            "max_in_flight": str(self.max_in_flight or 0),
            "observe": str(int(self.observe)),
        }


def check_rate(settings: Settings, name: str) -> None:
    """Raise SettingsError unless the rate's settings make sense together."""
    percent = getattr(settings, f"{name}_percent")
    window_calls = getattr(settings, f"{name}_window_calls")
    window_ms = optional_milliseconds_in(f"{name}_window", getattr(settings, f"{name}_window"))
    minimum_calls = getattr(settings, f"{name}_minimum_calls")
    _check_count(f"{name}_percent", percent, 100, 0)
    _check_count(f"{name}_window_calls", window_calls, MOST_CALLS, 0)
    _check_count(f"{name}_minimum_calls", minimum_calls, LARGEST_COUNT)
    if percent and bool(window_calls) == bool(window_ms):
        raise SettingsError(f"{name} must go by a window of seconds or of calls, and by one of them")
    if window_calls and minimum_calls > window_calls:
        raise SettingsError(
            f"{name}_minimum_calls must not be more than the {window_calls} calls of its window, or there is "
            f"never a rate; it is {minimum_calls}"
        )


def rate_fields(settings: Settings, name: str) -> dict[str, str]:
    """Return a rate's settings as fields of the hash."""
    window = getattr(settings, f"{name}_window")
    return {
        f"{name}_percent": str(getattr(settings, f"{name}_percent")),
        f"{name}_window_ms": str(optional_milliseconds_in(f"{name}_window", window)),
        f"{name}_window_calls": str(getattr(settings, f"{name}_window_calls")),
        f"{name}_minimum_calls": str(getattr(settings, f"{name}_minimum_calls")),
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


def optional_milliseconds_in(argument: str, value: object) -> int:
    """Return the same, and 0 for None and for nothing."""
    return 0 if value is None or (value == 0 and value is not False) else milliseconds_in(argument, value)


def _check_count(argument: str, value: object, most: int, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise SettingsError(f"{argument} must be a whole number from {least} to {most}, not {value!r}")
