"""Other processes as a test sees them, and one circuit's keys in Redis."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any, cast

from redis import Redis

PATIENCE_SECONDS = 30
OPEN_MS = 60_000
PROBE_MS = 20_000


class Worker:
    """A process that runs one task of ``worker.py``, or of a program like it."""

    errors = ""
    """What it wrote to its standard error, once it has ended."""

    def __init__(self, task: Callable[..., Any], **arguments: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, inspect.getfile(task), task.__name__, json.dumps(arguments)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def hear(self, word: str) -> None:
        """Wait until the worker says ``word``."""
        assert self._process.stdout is not None
        heard = self._process.stdout.readline().strip()
        assert heard == word, f"expected {word!r}, heard {heard!r}: {self._last_words()}"

    def tell(self) -> None:
        """Give the worker the word that it waits for."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """What the worker found, once it has ended."""
        try:
            output, self.errors = self._process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("the process did not end") from None
        assert self._process.returncode == 0, self.errors
        return json.loads(output)

    def _last_words(self) -> str:
        self._process.kill()
        return self._process.communicate()[1]

    def kill(self) -> None:
        """End the worker as the kernel's memory killer would."""
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate(timeout=PATIENCE_SECONDS)


@contextmanager
def workers(count: int, task: Callable[..., Any], **arguments: Any) -> Iterator[list[Worker]]:
    """So many processes that are ready; none is left at the end."""
    crew = [Worker(task, **arguments) for _ in range(count)]
    try:
        for worker in crew:
            worker.hear("ready")
        yield crew
    finally:
        for worker in crew:
            worker.kill()


def all_at_once(crew: list[Worker]) -> list[Any]:
    """Give everybody the word, and collect the answers."""
    for worker in crew:
        worker.tell()
    return [worker.answer() for worker in crew]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + PATIENCE_SECONDS
    while not condition():
        assert monotonic() < deadline, "it never came true"
        sleep(0.005)


class SharedCircuit:
    """One circuit's keys."""

    def __init__(self, redis: Redis, name: str = "orders") -> None:
        self.redis = redis
        self.key = f"sharedbreaker:{{{name}}}"

    def fields(self) -> dict[str, str]:
        return cast("dict[str, str]", self.redis.hgetall(self.key))

    def number(self, field: str) -> int:
        return int(self.fields()[field])

    def transitions(self) -> dict[str, int]:
        return {name: int(value) for name, value in self.fields().items() if "_to_" in name and value != "0"}

    def leases(self) -> dict[str, float]:
        pairs = cast(
            "list[tuple[str, float]]", self.redis.zrange(f"{self.key}:leases", 0, -1, withscores=True)
        )
        return dict(pairs)

    def events(self) -> list[dict[str, str]]:
        entries = cast("list[tuple[str, dict[str, str]]]", self.redis.xrange(f"{self.key}:events"))
        return [fields for _, fields in entries]

    def everything(self) -> dict[str, bytes | None]:
        return {key: self.redis.dump(key) for key in self.redis.scan_iter()}

    def elapse(self, milliseconds: int) -> None:
        """Let time pass for this circuit, by moving its stored moments into the past."""
        fields = self.fields()
        for name in ("opened_at", "open_until", "reclaim_at"):
            if fields.get(name):
                self.redis.hincrby(self.key, name, -milliseconds)
        for token in self.leases():
            self.redis.zincrby(f"{self.key}:leases", -milliseconds, token)
