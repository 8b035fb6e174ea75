"""Pods as a test sees them: see case_pod.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from topology_children import Child

import breaker_kinds
from child_process import ChildProcess


class Pod(Child):
    """One process with a breaker of the kind that the running test is about."""

    def __init__(self, url: str, clocks_wrong_by: float = 0, **settings: Any) -> None:
        kind = "async" if breaker_kinds.is_async() else "sync"
        script = Path(__file__).with_name("case_pod.py")
        ChildProcess.__init__(self, script, kind, url, json.dumps(settings), str(clocks_wrong_by))

    def kill(self) -> None:
        """End it as the kernel's memory killer would."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def pods(count: int, url: str, **settings: Any) -> Iterator[list[Pod]]:
    """So many pods that are there; none is left at the end."""
    with ExitStack() as stack:
        crew = [stack.enter_context(Pod(url, **settings)) for _ in range(count)]
        for pod in crew:
            assert pod.ask("exist") == "here"
        yield crew
