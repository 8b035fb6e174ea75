"""The commands of docs/redis-cli.md, and what the page shows of their output."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "redis-cli.md"
_BLOCK = re.compile(r"^```console( waits)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARIES = re.compile(r'\d{13,16}(-\d+)?|"[\w.-]+:\d+"')


@dataclass(frozen=True)
class Shown:
    command: str
    output: str
    waits: bool


def shown() -> list[Shown]:
    """Return the page's commands in their order."""
    found = []
    for waits, block in _BLOCK.findall(PAGE.read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append(Shown(command, output, bool(waits)))
    return found


def masked(output: str) -> str:
    """Return output without what differs each time: moments, epochs, ids and processes."""
    return _VARIES.sub("*", output)


def make_programs(folder: Path, port: int, sharedbreaker: str) -> None:
    """Put the page's programs into a folder: they speak to the test's own server, as to a terminal."""
    real = shutil.which("redis-cli") or shutil.which("valkey-cli")
    assert real is not None, "redis-cli is needed: install redis-tools"
    programs = {
        "redis-cli": f'exec {real} -p {port} --no-raw "$@"',
        "sharedbreaker": f'exec {sharedbreaker} "$@"',
    }
    for name, line in programs.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)
