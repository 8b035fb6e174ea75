"""Which probe is a call part of? A guarded function may call another one under the same breaker.

The probe waits for what it calls. If that needed a place of its own, it would be rejected wherever there is
one place, and a circuit that is only ever called in this way would never close.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

from sharedbreaker.circuit.admission import Admission

P = ParamSpec("P")
R = TypeVar("R")

PART_OF_PROBE = Admission("", "")
"""Leave for a call that its probe answers for: it is owed no report, and one makes no difference."""


class _Probe:
    __slots__ = ("is_open", "of", "process")

    def __init__(self, of: OpenProbes) -> None:
        self.of = of
        self.process = os.getpid()
        self.is_open = True


# Per task and thread, and handed on to the tasks that they begin: the probes that they are in the middle of.
_begun: ContextVar[tuple[_Probe, ...]] = ContextVar("sharedbreaker_probes", default=())


class OpenProbes:
    """The probes of one breaker that are under way in this process."""

    def is_inside(self) -> bool:
        """Whether whoever asks is in the middle of one."""
        begun = _begun.get()
        # Hardly ever is there any.
        return bool(begun) and any(
            probe.is_open and probe.of is self and probe.process == os.getpid() for probe in begun
        )

    @contextmanager
    def inside(self, admission: Admission | None) -> Iterator[None]:
        """Have calls in the block be part of the call that was admitted, if that is a probe."""
        if admission is None or not admission.is_probe:
            yield
            return
        probe = _Probe(self)
        _begun.set((probe, *(other for other in _begun.get() if other.is_open)))
        try:
            yield
        finally:
            # Not set back: the block of a generator may be left where it was not entered.
            probe.is_open = False

    def around(self, func: Callable[P, R], admission: Admission) -> Callable[P, R]:
        """Return ``func`` with all that it calls as part of a probe."""

        def probing(*args: P.args, **kwargs: P.kwargs) -> R:
            with self.inside(admission):
                return func(*args, **kwargs)

        return probing
