"""May this call run? The question as ``lua/admit.lua`` takes it, and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sharedbreaker.circuit.errors import CircuitBreakerError
from sharedbreaker.circuit.reading import UNDECLARED, text, texts
from sharedbreaker.circuit.state import CircuitMode, CircuitState

PROBE_PREFIX = "probe:"
OBSERVED_PREFIX = "observed:"
WHY_TURNED_AWAY = {"ramping": "ramping_up", "full": "too_many_in_flight"}
"""Why a closed circuit turns a call away: as ``lua/admit.lua`` and as ``CircuitBreakerError.why`` say it."""
REFUSALS = ("rejected", *WHY_TURNED_AWAY)


class Admission(NamedTuple):
    """Leave for one call to run, to be given back with ``report``."""

    token: str
    """The lease's name."""
    epoch: str
    """The era between two transitions that the admission belongs to: a late report decides nothing."""

    is_local: bool = False
    """Whether this process decided by itself, because Redis could not be asked."""
    view: Any = None
    """What the process decided on where it asked nobody; where the end of the call is counted."""

    began: float = 0.0
    """Monotonic moment, by the caller's clock, where somebody asks how long the call takes; else 0."""

    @property
    def is_observed(self) -> bool:
        """Whether this call would have been turned away, and runs because nothing is enforced."""
        return self.token.startswith(OBSERVED_PREFIX)

    @property
    def is_probe(self) -> bool:
        """Whether this call tries out a service that may be back."""
        return self.token.startswith(PROBE_PREFIX)


class AdmissionReading(NamedTuple):
    """The answer to the question: an admission, a refusal, or neither when settings were missing."""

    admission: Admission | None
    refusal: CircuitBreakerError | None
    mode: CircuitMode
    """Who decided: the state machine, or somebody's hand."""
    transition: str
    """The transition that this question caused, such as ``open_to_half_open``; empty without one."""
    unreadable: tuple[str, ...]
    """Fields or keys that held what no script wrote."""
    is_viewable: bool = True
    """Whether other calls may run on this answer too."""

    @property
    def is_undeclared(self) -> bool:
        """Whether the circuit lacks the settings to decide by."""
        return self.admission is None and self.refusal is None

    def granted(self) -> Admission:
        """Return the admission; raise the refusal where it is one."""
        if self.refusal is not None:
            raise self.refusal
        assert self.admission is not None  # noqa: S101 - one of the two is there
        return self.admission


def admission_arguments(token: str, who: str, *, again: bool) -> tuple[str, ...]:
    """Return the script's arguments. ``again``: the same token was sent before, and no answer came."""
    return token, who, "1" if again else "0"


def refused_because(state: CircuitState, mode: CircuitMode) -> str:
    """Return why a circuit in this state refuses, as ``CircuitBreakerError.why`` names it."""
    if state is CircuitState.HALF_OPEN:
        return "probes_busy"
    return "held_open" if mode is CircuitMode.HELD_OPEN else "open"


def read_admission(reply: Sequence[Any] | bytes | str, name: str, token: str) -> AdmissionReading:
    """Return what the script said about the call named ``token`` of the circuit ``name``."""
    if isinstance(reply, (bytes, str)):
        return _read_usual(text(reply), name, token)
    verdict, state, mode, epoch, retry_after_ms, transition, *unreadable = texts(reply, 6)
    admission = None
    refusal = None
    if verdict in ("admitted", "once"):
        admission = Admission(token, epoch)
    elif verdict == "probe":
        admission = Admission(PROBE_PREFIX + token, epoch)
    elif verdict == "observed":
        admission = Admission(OBSERVED_PREFIX + token, epoch)
    elif verdict in REFUSALS:
        why = WHY_TURNED_AWAY.get(verdict) or refused_because(CircuitState(state), CircuitMode(mode))
        retry_after = float(retry_after_ms) / 1000 if retry_after_ms else None
        refusal = CircuitBreakerError(name, CircuitState(state), retry_after, why)
    elif verdict != UNDECLARED:
        raise ValueError(f"admit answered {verdict!r}")
    who_decides = CircuitMode(mode or "automatic")
    is_viewable = verdict not in ("once", "observed")
    return AdmissionReading(admission, refusal, who_decides, transition, tuple(unreadable), is_viewable)


def _read_usual(reply: str, name: str, token: str) -> AdmissionReading:
    usual = read_usual_admission(reply, name, token)
    if isinstance(usual, Admission):
        return AdmissionReading(usual, None, CircuitMode.AUTOMATIC, "", ())
    return AdmissionReading(None, usual, mode_of(usual), "", ())


def read_usual_admission(reply: str, name: str, token: str) -> Admission | CircuitBreakerError:
    """Return what a short answer says: leave for the call named ``token``, or why it has none."""
    if " " not in reply:
        return Admission(token, reply)
    _, retry_after_ms, *mode = reply.split(" ")
    wait = int(retry_after_ms) / 1000 if retry_after_ms else None
    return CircuitBreakerError(name, CircuitState.OPEN, wait, "held_open" if mode else "open")


def mode_of(refusal: CircuitBreakerError) -> CircuitMode:
    """Return who decides where a call was refused."""
    return CircuitMode.HELD_OPEN if refusal.why == "held_open" else CircuitMode.AUTOMATIC
