"""A fleet of real processes that share one circuit, each told from here what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from child_process import ChildProcess

PROGRAM = Path(__file__).with_name("case_caller.py")


class Caller(ChildProcess):
    """One process with one breaker."""

    def __init__(self, url: str, kind: str = "sync", **settings: Any) -> None:
        super().__init__(PROGRAM, url, kind, json.dumps(settings))
        self.notices: list[str] = []
        """The transitions that its listener was told of."""

    def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.kill()
            raise AssertionError(self._process.communicate()[1])
        told = json.loads(line)
        self.notices += told["notices"]
        return told["answer"]

    def do(self, word: str) -> Any:
        """Have it call (`succeed`, `fail`) or act (`force_open`, ...), and return what came of it."""
        self.tell(word)
        return self.answer()


def all_do(callers: Sequence[Caller], word: str) -> list[Any]:
    """Have all of them do it at the same moment."""
    for caller in callers:
        caller.tell(word)
    return [caller.answer() for caller in callers]


@contextmanager
def callers(number: int, url: str, kind: str = "sync", **settings: Any) -> Iterator[list[Caller]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Caller(url, kind, **settings)) for _ in range(number)]
