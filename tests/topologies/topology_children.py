"""Child processes with a breaker each: see topology_child.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from child_process import ChildProcess


class Child(ChildProcess):
    """One process. It ends with its standard input, and so with its parent."""

    def __init__(self, url: str, clock_wrong_by: float = 0, **settings: Any) -> None:
        script = Path(__file__).with_name("topology_child.py")
        super().__init__(script, url, json.dumps(settings), str(clock_wrong_by))

    def ask(self, word: str, times: int = 1) -> Any:
        """Have it obey, so many times; return its last answer."""
        for _ in range(times):
            answer = self._ask(word)
        return answer

    def leave(self) -> str:
        """End it as a process ends by itself; return what it wrote to standard error."""
        _, told = self._process.communicate(timeout=30)
        assert self._process.returncode == 0, told
        return told

    def _ask(self, word: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self._process.communicate()[1]
        return json.loads(answer)
