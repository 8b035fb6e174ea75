"""The services of docker-compose.yml without an engine: their own commands, on this machine.

Each service's command, environment and files are those of the compose file. Only addresses change: a
service's name and port become 127.0.0.1 and a free port, and a mounted folder is a copy of what would be
mounted.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import yaml
from real_prometheus import ROOT
from typing_extensions import Self

from sharedbreaker.demo.redis_server import find_redis_server, free_port

COMPOSE = ROOT / "docker-compose.yml"
NOT_HERE = frozenset({"grafana"})
"""Services whose program is not to be had where the tests run."""
ENTRYPOINTS = {"prom/prometheus": "prometheus"}
"""What an image runs where its command has options only."""
START_SECONDS = 90.0
POLL_SECONDS = 0.1


ServicesT = TypeVar("ServicesT", bound="NativeServices")


class NativeServices:
    """All services that can run here. Leaving the ``with`` block ends them."""

    def __init__(self, folder: Path) -> None:
        document = yaml.safe_load(COMPOSE.read_text())
        self.services: dict[str, dict[str, Any]] = document["services"]
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        published = (port for service in self.services.values() for port in service["ports"])
        self._ports = {int(port.rsplit(":", 1)[1]): free_port() for port in published}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in reversed(self._processes.values()):
            process.terminate()
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()

    def port(self, container_port: int) -> int:
        """The port of this machine that stands for a container's."""
        return self._ports[container_port]

    def in_order(self) -> list[str]:
        """The services that can run here, each after those that it depends on."""
        ordered: list[str] = []

        def place(name: str) -> None:
            for other in self.services[name].get("depends_on", ()):
                place(other)
            if name not in ordered and name not in NOT_HERE:
                ordered.append(name)

        for name in self.services:
            place(name)
        return ordered

    def start(self, name: str, ready: Callable[[], bool]) -> None:
        """Start one service and return when it is ready."""
        service = self.services[name]
        command = [self._here(name, word) for word in service["command"]]
        if command[0].startswith("-"):
            command.insert(0, ENTRYPOINTS[service["image"].partition(":")[0]])
        log = self._folder / f"{name}.log"
        with log.open("wb") as output:
            process = self._processes[name] = subprocess.Popen(
                [*self._program(command), *self._additions(name)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env={
                    **os.environ,
                    "NO_PROXY": "127.0.0.1",
                    **{
                        variable: self._here(name, value)
                        for variable, value in service.get("environment", {}).items()
                    },
                },
            )
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            assert process.poll() is None, f"{name} ended:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"{name} is not ready:\n{log.read_text()}"
            time.sleep(POLL_SECONDS)

    def _here(self, name: str, text: str) -> str:
        """A word of a command, a variable or a line of a file, with this machine's addresses in it."""
        for container_port, port in self._ports.items():
            text = re.sub(rf"(?<!\d){container_port}(?!\d)", str(port), text)
        text = re.sub(rf"\b({'|'.join(self.services)}):(?=\d)", "127.0.0.1:", text)
        text = text.replace("0.0.0.0", "127.0.0.1")
        for volume in self.services[name].get("volumes", ()):
            here, inside, *_ = volume.split(":")
            text = text.replace(inside, str(self._mounted(name, ROOT / here)))
        # A volume of the image's own.
        return text.replace("=/prometheus", f"={self._folder / 'prometheus-data'}")

    def _mounted(self, name: str, source: Path) -> Path:
        copy = self._folder / f"{name}-{source.name}"
        if not copy.exists():
            shutil.copytree(source, copy)
            for file in copy.rglob("*.yml"):
                text = file.read_text()
                for container_port, port in self._ports.items():
                    text = re.sub(rf"(?<!\d){container_port}(?!\d)", str(port), text)
                text = re.sub(rf"\b({'|'.join(self.services)}):(?=\d)", "127.0.0.1:", text)
                # Nobody waits five seconds for a scrape in a test.
                file.write_text(re.sub(r"(_interval|_timeout): \ds", r"\1: 1s", text))
        return copy

    def _program(self, command: list[str]) -> list[str]:
        program, *words = command
        if program == "redis-server":
            return [str(find_redis_server()[0]), *words]
        if program == "python":
            return [sys.executable, *words]
        beside = Path(sys.executable).parent / program
        return [str(beside) if beside.exists() else program, *words]

    def _additions(self, name: str) -> list[str]:
        """What a container gives its program without being told: a port that is free, a program to start."""
        if name == "redis":
            return ["--port", str(self.port(6379)), "--bind", "127.0.0.1"]
        if name == "app":
            return ["--no-control-socket"]
        return []
