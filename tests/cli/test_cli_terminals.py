"""On terminals, wide, narrow and without unicode, in pipes, and in the shell's completion."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
from verbs import OUR_VARIABLES, CommandLine, breaker_at
from verbs import command as command

from sharedbreaker import Operator

PROGRAM = (sys.executable, "-m", "sharedbreaker")
LONGEST = 60
ESCAPES = re.compile(r"\x1b\[[\d;]*m")
REASON = "Störung beim Anbieter: 停止"


def variables_for(command: CommandLine, **more: str) -> dict[str, str]:
    theirs = {name: value for name, value in os.environ.items() if name not in (*OUR_VARIABLES, "NO_COLOR")}
    return {**theirs, "SHAREDBREAKER_REDIS_URL": command.url, "TERM": "xterm-256color", **more}


class Terminal:
    """A process on a terminal of so many columns."""

    def __init__(self, command: CommandLine, columns: int, *words: str, **variables: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            [*PROGRAM, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=variables_for(command, **variables),
        )
        os.close(slave)
        self.seen = b""

    def read(self) -> bool:
        try:
            more = os.read(self._master, 65536)
        except OSError:  # how Linux says that the other side is closed
            more = b""
        self.seen += more
        return bool(more)

    def read_until(self, text: str) -> None:
        deadline = time.monotonic() + LONGEST
        while text.encode() not in self.seen:
            assert time.monotonic() < deadline
            assert self.read(), self.seen

    def end(self) -> tuple[int, str]:
        while self.read():
            pass
        code = self.process.wait(LONGEST)
        os.close(self._master)
        return code, self.seen.decode("utf-8", "replace")


@pytest.fixture
def held(command: CommandLine) -> CommandLine:
    breaker_at(command.url, "orders").force_open(REASON, who="ann")
    return command


def test_table_on_a_terminal_has_colours(held: CommandLine) -> None:
    """On a terminal the state has its colour, and the reason its own letters."""
    code, seen = Terminal(held, 160, "status", LANG="C.UTF-8").end()

    assert code == 4
    assert "\x1b[1;31mheld open" in seen
    assert REASON in seen


def test_no_color_is_heeded(held: CommandLine) -> None:
    """NO_COLOR=1 takes the colours away."""
    _, seen = Terminal(held, 160, "status", NO_COLOR="1").end()

    assert "\x1b[1;31m" not in seen
    assert "held open" in seen


def test_narrow_terminal_keeps_every_letter_of_the_reason(held: CommandLine) -> None:
    """On forty columns the figures go, cells fold, and no line is longer than the terminal."""
    breaker_at(held.url, "a-name-that-is-longer-than-any-terminal-has-columns-for-it")
    _, seen = Terminal(held, 40, "status", LANG="C.UTF-8", NO_COLOR="1").end()

    lines = ESCAPES.sub("", seen).splitlines()
    assert max(map(len, lines)) <= 40
    assert "CALLS" not in seen
    assert "\u2026" not in seen
    folded = "".join("".join(lines).split())
    for word in ("held", "open", "停止"):
        assert word in folded


def test_terminal_without_unicode_gets_replacements(held: CommandLine) -> None:
    """Where the terminal has ASCII alone, letters that it lacks are replaced, and nothing fails."""
    code, seen = Terminal(held, 160, "show", "orders", PYTHONIOENCODING="ascii", PYTHONUTF8="0").end()

    assert code == 0
    assert "St?rung beim Anbieter: ??" in seen
    assert seen.isascii()


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_pipe_has_neither_colours_nor_folded_lines(held: CommandLine, encoding: str) -> None:
    """In a pipe one circuit is one line, however long, with no escape sequence and no space at its end."""
    Operator("orders", redis=held.url).force_open("x" * 400)

    ran = subprocess.run(
        [*PROGRAM, "status"],
        check=False,
        capture_output=True,
        timeout=LONGEST,
        env=variables_for(held, PYTHONIOENCODING=encoding),
    )

    lines = ran.stdout.decode().splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("x" * 400)
    assert [line.rstrip() for line in lines] == lines
    assert "\x1b" not in ran.stdout.decode()


def test_reader_that_has_enough_causes_no_traceback(held: CommandLine) -> None:
    """`watch | head -1` ends quietly."""
    with subprocess.Popen(
        [*PROGRAM, "watch", "--json", "--interval", "0.05"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=variables_for(held),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        process.wait(LONGEST)
        assert process.stderr.read() == b""


def test_watch_shows_changes_live_and_ends_with_ctrl_c(held: CommandLine) -> None:
    """On a terminal watch shows what becomes of a circuit while it runs, and Ctrl-C ends it with 130."""
    terminal = Terminal(held, 120, "watch", "--interval", "0.05", LANG="C.UTF-8")
    terminal.read_until("held open")

    Operator("orders", redis=held.url).force_close(who="ann")
    terminal.seen = b""
    terminal.read_until("closed")
    terminal.process.send_signal(signal.SIGINT)
    code, seen = terminal.end()

    assert code == 130
    assert "Traceback" not in seen


def test_watch_into_a_pipe_tells_changes_alone(held: CommandLine) -> None:
    """Without a terminal a circuit that stays as it is has one line, however often it is looked at."""
    ran = held("watch", "--count", "5", "--interval", "0.05")

    assert ran.exit_code == 0
    assert len(ran.out.splitlines()) == 1
    assert ran.out.rstrip().endswith(f"orders held open by ann: {REASON}")


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (("show", "o"), {"orders", "others"}),
        (("show", ""), {"orders", "others", "payments"}),
        (("status", "orders", "p"), {"payments"}),
        (("tune", "orders", "failure_t"), {"failure_threshold="}),
        (("tune", "orders", "--clear", "max_t"), {"max_timeout"}),
        (("hold",), {"hold-open"}),
    ],
)
def test_shell_completes_names_and_settings(
    command: CommandLine, words: tuple[str, ...], completed: set[str]
) -> None:
    """The shell is given verbs, names from the list in Redis, and settings."""
    for name in ("orders", "others", "payments"):
        breaker_at(command.url, name)

    ran = command(
        _SHAREDBREAKER_COMPLETE="bash_complete",
        COMP_WORDS=" ".join(("sharedbreaker", *words)),
        COMP_CWORD=str(len(words)),
    )

    assert {line.partition(",")[2] for line in ran.out.splitlines()} == completed
