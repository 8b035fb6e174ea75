"""A shell in which the commands of a page are run, one after the other."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path


class Shell:
    """One shell for the whole page, so that variables and files last."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=environment,
        )

    def begin(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\nprintf '\\nEND OF %s\\n' $?\n")
        self._process.stdin.flush()

    def output(self) -> str:
        assert self._process.stdout is not None
        lines: list[str] = []
        for line in self._process.stdout:
            if line.startswith("END OF "):
                assert line == "END OF 0\n", lines
                return "".join(lines).removesuffix("\n")
            lines.append(line)
        raise AssertionError(lines)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
