"""Somebody who follows docs/tutorial.md word by word: types its commands and saves its files.

What differs from a person: servers listen on free ports, `pip` finds everything installed already, and a
minute is waited for by moving the stored moment of the circuit.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from docs_page import Page
from page_shell import Shell

from sharedbreaker.demo.redis_server import find_redis_server, free_port

PATIENCE = 60
PORTS = ("6379", "8000", "8001")
_BLOCK = re.compile(r"^```(console|python) ?([\w.]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MASKS = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "WHEN"),
    (r"[\w.-]+:\d+\b(?!\S)", "PROCESS"),
    (r"\b\d+(\.\d+)? (s|min)\b", "TIME"),
    (r'"retry_after":[\d.]+', '"retry_after":TIME'),
    (r"[ \t]+", " "),
    (r" +$", ""),
)
_VENV = """#!{python}
import glob, subprocess, sys
is_venv = sys.argv[1:3] == ["-m", "venv"]
# Without a pip of its own, which takes ten seconds; the tests' own one does as well.
subprocess.run([{python!r}, *sys.argv[1:], *["--without-pip"] * is_venv], check=True)
if is_venv:
    [packages] = glob.glob(sys.argv[3] + "/lib/python3*/site-packages")
    with open(packages + "/installed.pth", "w") as paths:
        paths.write("import site; site.addsitedir({installed!r})")
"""


@dataclass(frozen=True)
class Saw:
    command: str
    output: str


def masked(output: str) -> str:
    """Output without what differs each time: moments, waits, processes, and the width of columns."""
    for pattern, instead in _MASKS:
        output = re.sub(pattern, instead, output, flags=re.MULTILINE)
    return output.rstrip("\n")


class Reader:
    """Follows one page, in an empty folder."""

    def __init__(self, page: Page, folder: Path) -> None:
        self._text = page.text
        self.folder = folder
        self.ports = {port: str(free_port()) for port in PORTS}
        self._programs = folder.parent / "programs"
        self._programs.mkdir()
        self._make_programs()
        bin_folder = Path(sys.executable).parent
        self._environment = {
            **os.environ,
            "PATH": f"{self._programs}:{bin_folder}:{os.environ['PATH']}",
            "HOME": str(folder.parent),
            "NO_PROXY": "127.0.0.1",
            "PIP_NO_INDEX": "1",
            "PYTHONWARNINGS": "ignore",
        }
        self._shell = Shell(folder, self._environment)
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._typed_before: dict[str, list[str]] = {}

    def follow(self) -> Iterator[tuple[Saw, Saw]]:
        """Do what the page says; give what is printed for each command beside what the page shows."""
        for language, words, text in _BLOCK.findall(self._text):
            typed = self._with_ports(text)
            if language == "python":
                (self.folder / words).write_text(text)
            elif words == "stays":
                self._serve([line.removeprefix("$ ") for line in typed.splitlines()])
            else:
                for part in re.split(r"^\$ ", typed, flags=re.MULTILINE)[1:]:
                    command, _, shown = part.partition("\n")
                    self._shell.begin(command)
                    printed = self._shell.output()
                    yield Saw(command, masked(printed)), Saw(command, masked(shown))

    def close(self) -> None:
        self._shell.close()
        for program in reversed(list(self._servers)):
            self._end(program)

    def _with_ports(self, text: str) -> str:
        return re.sub(r"\b(6379|8000|8001)\b", lambda found: self.ports[found[1]], text)

    def _serve(self, lines: list[str]) -> None:
        """Type lines of which the last one stays, after Ctrl-C in the terminal of that program."""
        *exports, command = lines
        program = command.split()[0]
        self._end(program)
        typed = self._typed_before.setdefault(program, [". .venv/bin/activate"])
        typed += exports
        with (self.folder.parent / f"{program}.log").open("ab") as log:
            self._servers[program] = subprocess.Popen(
                ["/bin/sh", "-c", "\n".join([*typed, f"exec {command}"])],
                cwd=self.folder,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        found = re.search(r"(?:--port |:)(\d+)", command)
        assert found is not None
        self._wait_for(int(found[1]), program)

    def _wait_for(self, port: int, program: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            said = (self.folder.parent / f"{program}.log").read_text()
            assert self._servers[program].poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.02)

    def _end(self, program: str) -> None:
        process = self._servers.pop(program, None)
        if process is None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _make_programs(self) -> None:
        server, _ = find_redis_server()
        client = shutil.which("redis-cli") or shutil.which("valkey-cli")
        assert client is not None, "redis-cli is needed: install redis-tools"
        installed = next(path for path in sys.path if path.endswith("site-packages"))
        circuit = "sharedbreaker:{google_ai_text_generation}"
        wait = f"redis-cli -p {self.ports['6379']} HSET '{circuit}' open_until 0 >/dev/null"
        programs = {
            "python3": _VENV.format(python=sys.executable, installed=installed),
            "redis-server": f'#!/bin/sh\nexec {server} "$@"\n',
            "redis-cli": f'#!/bin/sh\nexec {client} --no-raw "$@"\n',
            "sleep": f"#!/bin/sh\n{wait}\n",
        }
        for name, text in programs.items():
            (self._programs / name).write_text(text)
            (self._programs / name).chmod(0o755)
