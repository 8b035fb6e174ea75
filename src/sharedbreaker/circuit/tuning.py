"""Settings that were tuned by hand: in force for the fleet, whatever is declared, until they are cleared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sharedbreaker.circuit.errors import SettingsError
from sharedbreaker.circuit.reading import UNDECLARED, texts
from sharedbreaker.circuit.settings import Settings

FIELD_OF = {
    "failure_threshold": "failure_threshold",
    "timeout": "open_timeout_ms",
    "success_threshold": "success_threshold",
    "half_open_max_calls": "half_open_max_calls",
    "probe_timeout": "probe_timeout_ms",
    "lease_timeout": "lease_timeout_ms",
    "max_timeout": "max_timeout_ms",
    "failure_rate_percent": "failure_rate_percent",
    "failure_rate_window": "failure_rate_window_ms",
    "failure_rate_window_calls": "failure_rate_window_calls",
    "failure_rate_minimum_calls": "failure_rate_minimum_calls",
    "slow_call_rate_percent": "slow_call_rate_percent",
    "slow_call_rate_window": "slow_call_rate_window_ms",
    "slow_call_rate_window_calls": "slow_call_rate_window_calls",
    "slow_call_rate_minimum_calls": "slow_call_rate_minimum_calls",
    "slow_call_duration": "slow_call_duration_ms",
    "timeout_growth_percent": "timeout_growth_percent",
    "ramp_up": "ramp_up_ms",
    "minimum_reporters": "minimum_reporters",
    "max_in_flight": "max_in_flight",
    "observe": "observe",
}
"""What may be tuned, as Settings call it and as the hash does. Each is what decides something."""
DECLARED = "declared:"
"""Before a tuned setting's name in the hash: what the processes declare, in force once it is cleared."""
_DECLARED_BESIDE = {field: DECLARED + field for field in FIELD_OF.values()}
_TIMES = frozenset(argument for argument, field in FIELD_OF.items() if field != argument)


class Tuned(NamedTuple):
    """One setting that is tuned, as fields of the hash have it: whole numbers, times in milliseconds."""

    field: str
    in_force: str
    declared: str
    """What the processes declare, in force again once it is cleared."""


class TuneReading(NamedTuple):
    """What became of a tuning."""

    verdict: str
    unreadable: tuple[str, ...]

    @property
    def is_undeclared(self) -> bool:
        """Whether there is no such circuit."""
        return self.verdict == UNDECLARED

    @property
    def has_changed(self) -> bool:
        """Whether anything is otherwise than before."""
        return self.verdict == "changed"


def tuned_in(fields: Mapping[str, str]) -> tuple[Tuned, ...]:
    """Return the settings in a circuit's hash that are tuned."""
    return tuple(
        Tuned(field, fields.get(field, ""), fields[declared])
        for field, declared in _DECLARED_BESIDE.items()
        if declared in fields
    )


def tuned_fields(
    in_force: Mapping[str, str], settings: Mapping[str, float | None], clear: Iterable[str] = ()
) -> dict[str, str]:
    """Return what ``lua/tune.lua`` is to write: whole numbers, and '' for what is to be cleared.

    Args:
        in_force: the fields of the circuit's hash.
        settings: what to tune, by the names of ``Settings``; times in seconds.
        clear: the names of what is to be as declared again.

    Raises:
        SettingsError: for a setting that cannot be tuned, or that ``Settings`` would refuse beside what else
            is in force.

    """
    settings = dict(settings)
    clear = tuple(clear)
    for argument in (*settings, *clear):
        if argument not in FIELD_OF:
            raise SettingsError(f"{argument!r} cannot be tuned, only {', '.join(FIELD_OF)}")
    both = sorted(settings.keys() & clear)
    if both:
        raise SettingsError(f"{', '.join(both)} cannot be tuned and cleared at once")
    kept = {
        argument: _value_of(argument, in_force.get(field, ""))
        for argument, field in FIELD_OF.items()
        if argument not in settings and argument not in clear
    }
    idle_ttl = _value_of("idle_ttl", in_force.get("idle_ttl_ms", ""), is_time=True) or None
    beside: dict[str, Any] = {argument: value for argument, value in kept.items() if value}
    fields = Settings(**{**beside, "idle_ttl": idle_ttl, **settings}).fields()
    return {
        **{FIELD_OF[argument]: fields[FIELD_OF[argument]] for argument in settings},
        **{FIELD_OF[argument]: "" for argument in clear},
    }


def declared_beside(
    in_force: Mapping[str, int], declared: Mapping[str, int], declaration: Mapping[str, int]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the settings in force, and those declared under tuned ones, after a process declared its own."""
    tuned = {field: in_force[field] for field in declared}
    return {**declaration, **tuned}, {field: declaration[field] for field in declared}


def tuned_beside(
    in_force: Mapping[str, int], declared: Mapping[str, int], changes: Mapping[str, str]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the same two after somebody tuned ``changes``, in which '' clears."""
    in_force, declared = dict(in_force), dict(declared)
    for field, value in changes.items():
        if value:
            declared.setdefault(field, in_force[field])
            in_force[field] = int(value)
        elif field in declared:
            in_force[field] = declared.pop(field)
    return in_force, declared


def tune_arguments(changes: Mapping[str, str], who: str, reason: str | None, request: str) -> tuple[str, ...]:
    """Return the script's arguments. ``request`` names this act: it is done once however often sent."""
    return who, reason or "", request, *(part for change in changes.items() for part in change)


def read_tune(reply: Sequence[Any]) -> TuneReading:
    """Return what the script said."""
    verdict, *unreadable = texts(reply, 1)
    return TuneReading(verdict, tuple(unreadable))


def _value_of(argument: str, text: str, *, is_time: bool | None = None) -> float | None:
    """Return a field of the hash as ``Settings`` take it; None where it holds no number."""
    if not (text.isascii() and text.isdigit()):
        return None
    if is_time if is_time is not None else argument in _TIMES:
        return int(text) / 1000
    return int(text)
