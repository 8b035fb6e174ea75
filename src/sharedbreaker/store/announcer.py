"""Telling of the transitions that this process caused: in the log, and to whoever wants to know."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from sharedbreaker.circuit.state import TRANSITION_NAMED, CircuitState

logger = logging.getLogger("sharedbreaker")

_LEVELS = {CircuitState.OPEN: logging.WARNING}


@dataclass(frozen=True)
class TransitionNotice:
    """One change of a shared circuit's state, told by the process that caused it."""

    name: str
    """The circuit's."""
    before: CircuitState
    after: CircuitState
    exception: str = ""
    """Name of the type of the failure that opened it; empty where none did."""

    @property
    def transition(self) -> str:
        """The tally that it went into, such as ``closed_to_open``."""
        return f"{self.before.value}_to_{self.after.value}"


Listener = Callable[[TransitionNotice], object]


class Announcer:
    """The listeners of one circuit in one process."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._listeners: tuple[Listener, ...] = ()

    def add(self, listener: Listener) -> Callable[[], None]:
        """Have ``listener`` told from now on; return a function that ends that."""
        self._listeners = (*self._listeners, listener)

        def end() -> None:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

        return end

    def announce(self, transition: str, exception: str = "") -> None:
        """Tell of a transition by its name; an empty one is none. What a listener raises reaches the log."""
        if not transition:
            return
        way = TRANSITION_NAMED[transition]
        notice = TransitionNotice(self._name, way.before, way.after, exception)
        logger.log(
            _LEVELS.get(way.after, logging.INFO),
            "circuit %r: %s to %s%s",
            self._name,
            way.before.value,
            way.after.value,
            f" after {exception}" if exception else "",
            extra={"circuit": self._name, "transition": transition, "exception_type": exception},
        )
        for listener in self._listeners:
            try:
                listener(notice)
            except Exception:  # noqa: PERF203 - one must not cost another its news
                logger.exception("circuit %r: a listener failed; nothing else changed", self._name)
