"""What happened to a circuit, as its event stream tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sharedbreaker.circuit.reading import text

_OWN_FIELDS = frozenset({"from", "to", "why", "who", "reason", "exception", "request"})


@dataclass(frozen=True)
class Event:
    """One transition, manual act or change of settings."""

    id: str
    """The stream's own name for it; ids grow with time."""
    before: str
    """The state before; that of ``after`` where the state did not change."""
    after: str
    why: str
    """``failure_threshold``, ``timeout``, ``force_open``, ``declared`` and so on, as the scripts write it."""
    who: str
    """The process, or whoever asked."""
    reason: str
    """In the words of whoever asked; empty where nobody said one. Anybody's text."""
    exception: str
    """The type of the exception that tripped the circuit; empty where none did."""
    details: Mapping[str, str]
    """What else the script wrote."""

    @property
    def at(self) -> float:
        """When, in Unix seconds by Redis' clock."""
        return int(self.id.partition("-")[0]) / 1000

    @property
    def is_transition(self) -> bool:
        """Whether the state changed."""
        return self.before != self.after

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it. ``at`` is in Unix seconds."""
        return {
            "id": self.id,
            "at": self.at,
            "from": self.before,
            "to": self.after,
            "why": self.why,
            "who": self.who,
            "reason": self.reason or None,
            "exception": self.exception or None,
            "details": dict(self.details),
        }


def read_history(reply: Sequence[Any]) -> tuple[Event, ...]:
    """Return the entries of a stream as Redis gave them, in its order; raise ValueError for anything else."""
    if not isinstance(reply, (list, tuple)):
        raise ValueError(f"the events were answered with {reply!r}")  # noqa: TRY004 - what a reply's reader raises
    return tuple(_event_in(entry) for entry in reply)


def _event_in(entry: Sequence[Any]) -> Event:
    event_id, flat = entry
    # A client that knows the command may have made pairs of it already.
    words = [text(word) for pair in flat.items() for word in pair] if isinstance(flat, Mapping) else flat
    fields = dict(zip(map(text, words[::2]), map(text, words[1::2]), strict=True))
    state = fields.get("to", "")
    return Event(
        id=text(event_id),
        before=fields.get("from", state),
        after=state,
        why=fields.get("why", ""),
        who=fields.get("who", ""),
        reason=fields.get("reason", ""),
        exception=fields.get("exception", ""),
        details={name: value for name, value in fields.items() if name not in _OWN_FIELDS},
    )
