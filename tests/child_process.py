"""A process of Python that a test speaks with, and that does not outlive the test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from typing_extensions import Self


class ChildProcess:
    """One process. It ends with its standard input, and so with its parent."""

    def __init__(self, script: Path, *words: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(script), *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()
