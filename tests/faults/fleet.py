"""The processes of a run: workers, upstream and network, started, hurt, replaced and ended from here."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fault_ledger import SUFFIX

HERE = Path(__file__).parent
END_SECONDS = 12.0


@dataclass
class History:
    """What was done to workers, for the comparison of books."""

    killed: dict[str, float] = field(default_factory=dict)
    """Workers that were killed, and when."""
    stopped: list[tuple[str, float, float]] = field(default_factory=list)
    """Workers that were stopped, from when to when."""
    stuck: list[str] = field(default_factory=list)
    """Processes that did not end when they were told to."""


@dataclass
class Running:
    """One worker that runs."""

    name: str
    process: subprocess.Popen[bytes]
    stopped_at: float | None = None


class Fleet:
    """The workers. A place keeps its number; whoever fills it has a name of its own."""

    def __init__(self, folder: Path, settings: dict[str, Any], clocks: list[float]) -> None:
        self.history = History()
        self._folder = folder
        self._settings = settings
        self._clocks = clocks
        self._fillings = [0] * len(clocks)
        self._running = [self._start(place) for place in range(len(clocks))]

    def kill(self, place: int) -> None:
        """Kill a worker as the kernel does when memory is short, and start another."""
        running = self._running[place]
        self.thaw(place)
        self.history.killed[running.name] = time.time()
        running.process.kill()
        running.process.wait()
        self._running[place] = self._start(place)

    def freeze(self, place: int) -> None:
        """Stop a worker's clock, with all that it has in hand."""
        running = self._running[place]
        if running.stopped_at is None:
            running.stopped_at = time.time()
            running.process.send_signal(signal.SIGSTOP)

    def thaw(self, place: int) -> None:
        """Let a stopped worker go on."""
        running = self._running[place]
        if running.stopped_at is not None:
            running.process.send_signal(signal.SIGCONT)
            self.history.stopped.append((running.name, running.stopped_at, time.time()))
            running.stopped_at = None

    def jump(self, place: int) -> None:
        """Set a worker's wall clock."""
        self._signal(place, signal.SIGUSR1)

    def fork(self, place: int) -> None:
        """Have a worker fork a child that makes calls."""
        self._signal(place, signal.SIGUSR2)

    def thaw_all(self) -> None:
        """Let all go on."""
        for place in range(len(self._running)):
            self.thaw(place)

    def end(self) -> None:
        """Have all leave as in a deploy, and wait for them and for the children that they forked."""
        self.thaw_all()
        for running in self._running:
            running.process.terminate()
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline and any(each.process.poll() is None for each in self._running):
            time.sleep(0.02)
        self.history.stuck += [each.name for each in self._running if each.process.poll() is None]
        while (left := self._children_left()) and time.monotonic() < deadline + END_SECONDS:
            time.sleep(0.05)
        self.history.stuck += [name for name, _ in left]
        for running in self._running:
            if running.name in self.history.stuck:
                _ask_for_stacks(running.process.pid)
                running.process.kill()
                running.process.wait()
        for _, pid in left:
            _ask_for_stacks(pid)
            os.kill(pid, signal.SIGKILL)

    def _signal(self, place: int, number: signal.Signals) -> None:
        running = self._running[place]
        # Before its first call, a worker may not yet have its handlers.
        if (self._folder / f"{running.name}{SUFFIX}").exists() and self._has_called(running.name):
            running.process.send_signal(number)

    def _has_called(self, name: str) -> bool:
        return b"\nS " in (self._folder / f"{name}{SUFFIX}").read_bytes()[:2000]

    def _children_left(self) -> list[tuple[str, int]]:
        left = []
        for path in self._folder.glob(f"*-fork*{SUFFIX}"):
            pid = int(path.stem.rpartition("-")[2])
            if Path(f"/proc/{pid}/task").exists() and not _is_over(path):
                left.append((path.stem, pid))
        return left

    def _start(self, place: int) -> Running:
        self._fillings[place] += 1
        name = f"worker{place}.{self._fillings[place]}"
        settings = {
            **self._settings,
            "name": name,
            "clock": self._clocks[place],
            "redis": self._settings["redis"][place % len(self._settings["redis"])],
            "folder": str(self._folder),
        }
        return Running(name, start(self._folder, name, "fault_worker.py", json.dumps(settings)))


def start(
    folder: Path, name: str, program: str, *arguments: str, stdout: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a program of this folder. What it complains of is kept in ``NAME.stderr``."""
    with (folder / f"{name}.stderr").open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, str(HERE / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=errors,
            start_new_session=True,
        )


def start_server(folder: Path, name: str, program: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a server of this folder, and return when it is ready."""
    process = start(folder, name, program, *arguments, stdout=subprocess.PIPE)
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        raise RuntimeError(f"{program} did not start: {(folder / f'{name}.stderr').read_text()}")
    return process


class Commands:
    """A connection to a server's control port: a line there, a line back."""

    def __init__(self, port: int) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._answers = self._connection.makefile("r")

    def send(self, line: str) -> None:
        """Send a command and wait until it is obeyed."""
        self._connection.sendall(f"{line}\n".encode())
        if self._answers.readline() != "done\n":
            raise RuntimeError(f"{line!r} was not obeyed")

    def close(self) -> None:
        """Close the connection."""
        self._answers.close()
        self._connection.close()


def _is_over(ledger: Path) -> bool:
    return ledger.read_bytes().endswith(b"X\n")


def _ask_for_stacks(pid: int) -> None:
    os.kill(pid, signal.SIGQUIT)
    time.sleep(0.3)
