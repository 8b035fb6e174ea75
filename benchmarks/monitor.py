"""What clients send, as the server's MONITOR tells it, word for word."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.floor import bare_socket, packed

LAST_WORD = "sharedbreaker-benchmark-ends-here"
_LINE = re.compile(r"\+[\d.]+ \[\d+ (?P<client>[^\]]*)\] (?P<words>.*)")
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Seen:
    """One command that the server ran."""

    words: tuple[str, ...]
    is_in_script: bool

    @property
    def is_script(self) -> bool:
        """Whether it runs a script."""
        return self.words[0].upper().startswith(("EVALSHA", "EVAL", "FCALL"))


def commands_during(url: str, action: Callable[[], object]) -> list[Seen]:
    """Return what the server at ``url`` was asked while ``action`` ran, in its order."""
    watcher, marker = bare_socket(url), bare_socket(url)
    lines = watcher.makefile("rb")
    try:
        watcher.sendall(packed("MONITOR"))
        lines.readline()
        action()
        marker.sendall(packed("ECHO", LAST_WORD))
        seen: list[Seen] = []
        for line in lines:
            found = _LINE.match(line.decode())
            if found is None:
                continue
            words = tuple(_unescaped(word) for word in _WORD.findall(found["words"]))
            if words[-1] == LAST_WORD:
                return seen
            seen.append(Seen(words, found["client"] == "lua"))
        raise RuntimeError("the server ended the monitoring")
    finally:
        lines.close()
        watcher.close()
        marker.close()


def _unescaped(word: str) -> str:
    return word.encode().decode("unicode_escape").encode("latin-1").decode()
