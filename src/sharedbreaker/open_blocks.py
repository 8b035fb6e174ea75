"""Which `with` block is ending? A breaker guards many at once, and Python says only that one of them ends."""

from __future__ import annotations

import itertools
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import FrameType

from sharedbreaker.circuit.admission import Admission
from sharedbreaker.open_probes import OpenProbes


class _Block:
    def __init__(self, number: int, frame: FrameType, admission: Admission) -> None:
        self.number = number
        # Only the number of the frame: the frame itself would keep everything alive that it can see.
        self.frame_id = id(frame)
        self.admission = admission
        self.probing: AbstractContextManager[None] | None = None
        self.is_open = True


# Per task and thread, the blocks that began there, innermost first.
_begun: ContextVar[tuple[_Block, ...]] = ContextVar("sharedbreaker_begun", default=())


class OpenBlocks:
    """The `with` blocks of one breaker that have begun and not ended."""

    def __init__(self, open_probes: OpenProbes) -> None:
        self._open_probes = open_probes
        self._blocks: dict[int, _Block] = {}
        self._numbers = itertools.count()

    def begin(self, frame: FrameType, admission: Admission) -> None:
        """Take note of a block that begins in ``frame``."""
        block = _Block(next(self._numbers), frame, admission)
        if admission.is_probe:
            block.probing = self._open_probes.inside(admission)
            block.probing.__enter__()
        self._blocks[block.number] = block
        _begun.set((block, *(other for other in _begun.get() if other.is_open)))

    def end(self, frame: FrameType) -> Admission:
        """Return the admission of the block that ends in ``frame``."""
        block = self._ending(frame)
        block.is_open = False
        if block.probing is not None:
            block.probing.__exit__(None, None, None)
        self._blocks.pop(block.number, None)
        return block.admission

    def _ending(self, frame: FrameType) -> _Block:
        # A generator's frame is the same one wherever it is stepped.
        latest_first = list(self._blocks.values())[::-1]
        for block in latest_first:
            if block.frame_id == id(frame):
                return block
        # An ExitStack begins and ends it in frames of its own: there the task or thread tells.
        for block in _begun.get():
            if block.is_open and self._blocks.get(block.number) is block:
                return block
        return latest_first[0]
