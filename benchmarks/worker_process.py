"""The harness' end of a worker: starts it, speaks to it, ends it."""

from __future__ import annotations

import json
import os
import subprocess
from types import TracebackType
from typing import Any

from benchmarks.environments import ROOT, python_of
from benchmarks.scenario import SkippedSubjectError


class WorkerError(RuntimeError):
    """A worker could not do what it was told. Says why."""


class WorkerProcess:
    """One running worker. Use it in a ``with`` block."""

    def __init__(self, environment: str) -> None:
        self.environment = environment
        self._process = subprocess.Popen(
            [str(python_of(environment)), "-m", "benchmarks.worker"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, verb: str, **arguments: Any) -> Any:
        """Tell it to do something and wait for the answer."""
        self.tell(verb, **arguments)
        return self.answer()

    def tell(self, verb: str, **arguments: Any) -> None:
        """Tell it to do something."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": verb, **arguments}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Wait for the answer to what it was told first."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"a worker of {self.environment} ended: status {self._process.wait()}")
        reply = json.loads(line)
        if "skipped" in reply:
            raise SkippedSubjectError(reply["skipped"])
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply["answer"]

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
