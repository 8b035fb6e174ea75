"""The books of one worker process, as lines of words: whatever was written survives a SIGKILL of the writer.

Each line is one `write` to a file opened for appending, so it is in the page cache, whole, before the worker
goes on. Times are Unix seconds by the true clock, also where the worker's own clock jumps.

=====  =========================================  ====================================================
kind   words                                      written
=====  =========================================  ====================================================
``N``  pid                                        when the process begins
``S``  call, circuit, time                        when a call begins
``T``  ask, call, token, circuit, time            before an admission is asked for in Redis
``A``  ask, verdict, epoch, time                  when it was answered, or was not
``R``  call, token, epoch, where, probe           when the breaker admitted the call, before it runs
``E``  call, outcome, time                        when the function ended, before the report
``V``  token, verdict, time                       when a report was answered by Redis, or was not
``D``  call, result, waits (two), time, detail    when the call is over
``B``  circuit, batch, five tallies, time         before a settlement is sent
``G``  circuit, batch, five tallies, time         before a batch is sent that was held back
``C``  batch, verdict, epoch, time                when either was answered, or was not
``W``  circuit, 0 or 1, time                      when the circuit lost Redis (0) or has it again (1)
``H``  seconds, time                              when the process was not scheduled for so long
``X``                                             at a clean exit, after the breakers have settled
=====  =========================================  ====================================================

Where: 0 in Redis, 1 by this process alone, 2 on a view. A verdict is what the script said, or ``noscript``,
or ``unsent`` where no connection was had, or ``unanswered``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

SUFFIX = ".ledger"
true_time = time.time
"""The clock of all books, kept before anything patches it."""


class Ledger:
    """The file that one process writes."""

    def __init__(self, folder: Path, process: str) -> None:
        self.process = process
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = os.open(folder / f"{process}{SUFFIX}", flags, 0o600)
        self.write("N", os.getpid())

    def write(self, *words: object) -> None:
        """Write one line. Words may be anything without blanks; a time is a float."""
        text = " ".join(f"{word:.6f}" if isinstance(word, float) else str(word) for word in words)
        os.write(self._file, f"{text}\n".encode())


def read_ledgers(folder: Path) -> Iterator[tuple[str, list[list[str]]]]:
    """Return each process' name and its lines as words. A last line that was cut short is left out."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        whole, _, _ = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")
        yield path.stem, [line.split(" ") for line in whole.split("\n") if line]
