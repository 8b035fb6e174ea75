"""Child processes with a breaker each: see topology_child.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any


class Child:
    """One process. It ends with its standard input, and so with its parent."""

    def __init__(self, url: str, clock_wrong_by: float = 0, **settings: Any) -> None:
        script = Path(__file__).with_name("topology_child.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), url, json.dumps(settings), str(clock_wrong_by)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

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
