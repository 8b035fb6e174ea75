"""Our own scripts, sent again by a bare socket: what they cost the server, whatever the client costs.

The commands are not written here but taken from what a breaker really sends. What differs from one call to
the next (a token, a number) is made to differ in the same way in each repetition.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count, islice, pairwise

import hiredis

from benchmarks.bench import Bench
from benchmarks.floor import bare_socket, packed
from benchmarks.monitor import commands_during
from benchmarks.scenario import SkippedSubjectError

CAPTURED_CALLS = 4
COUNTER_CHARACTERS = 8
RECEIVED_BYTES = 1 << 16
FIRST_REPETITION = 1 << 16
"""Far beyond the numbers that the captured calls were given."""

Words = tuple[str, ...]


class Recording:
    """The scripts that one call sends, in order, as templates.

    Args:
        calls: the commands of several calls, each call alike but for what has to differ.

    """

    def __init__(self, calls: list[list[Words]]) -> None:
        shapes = {tuple(len(words) for words in call) for call in calls}
        if len(shapes) != 1 or not calls[0]:
            raise SkippedSubjectError(f"its calls do not send the same scripts each time: {sorted(shapes)}")
        self._calls = calls
        self._numbers = count(FIRST_REPETITION)

    @property
    def digests(self) -> list[str]:
        """The digests of the scripts."""
        return [words[1] for words in self._calls[0]]

    def repetitions(self) -> Iterator[list[bytes]]:
        """Return the commands of one call after the other, packed, each as if it had not been sent before."""
        for number in self._numbers:
            yield [packed(*self._varied(step, number)) for step in range(len(self._calls[0]))]

    def _varied(self, step: int, number: int) -> Words:
        before, last = self._calls[-2][step], self._calls[-1][step]
        return tuple(
            word if word == earlier else _counted(earlier, word, number)
            for earlier, word in zip(before, last, strict=True)
        )


def _counted(earlier: str, word: str, number: int) -> str:
    """Return ``word`` as it would be so many calls later: its last digits count on as they did before."""
    head, tail = word[:-COUNTER_CHARACTERS], word[-COUNTER_CHARACTERS:]
    base = 10 if word.isdigit() else 16
    stride = max(1, int(tail, base) - int(earlier[-COUNTER_CHARACTERS:], base))
    counted = int(tail, base) + number * stride
    digits = f"{counted:0{len(tail)}d}" if base == 10 else f"{counted:0{len(tail)}x}"
    return head + digits[-len(tail) :]


def recorded(bench: Bench, target: str, call: Callable[[], object]) -> Recording:
    """Let ``call`` happen a few times and record the scripts that each sends for ``target``."""
    call()
    return Recording([_scripts_during(bench, target, call) for _ in range(CAPTURED_CALLS)])


def recorded_apart(bench: Bench, target: str, calls: Callable[[], object]) -> Recording:
    """Record the script that most of ``calls`` send, whether they or something behind them sends it.

    Of two that follow each other, so that what one says of the other is repeated too.
    """
    seen = _scripts_during(bench, target, calls)
    most = Counter(words[1] for words in seen).most_common(1)
    sent = [words for words in seen if words[1] == most[0][0]]
    alike = [pair for pair in pairwise(sent) if _filled(pair[0]) == _filled(pair[1])]
    if not alike:
        raise SkippedSubjectError("its calls sent no script twice in the same way")
    return Recording([[words] for words in max(alike, key=lambda pair: sum(_filled(pair[0])))])


def _filled(words: Words) -> list[bool]:
    return [bool(word) for word in words]


def _scripts_during(bench: Bench, target: str, action: Callable[[], object]) -> list[Words]:
    return [
        command.words
        for command in commands_during(bench.server.url, action)
        if command.is_script and not command.is_in_script and not bench.is_of_another(command.words, target)
    ]


class Pipeline:
    """A bare socket that sends many commands at once."""

    def __init__(self, url: str) -> None:
        self._socket: socket.socket = bare_socket(url)
        self._reader = hiredis.Reader()

    def send(self, commands: list[bytes]) -> None:
        """Send commands in one packet and wait for all replies; raise where one is an error."""
        self._socket.sendall(b"".join(commands))
        left = len(commands)
        while left:
            self._reader.feed(self._socket.recv(RECEIVED_BYTES))
            while (reply := self._reader.gets()) is not False:
                if isinstance(reply, hiredis.ReplyError):
                    raise RuntimeError(str(reply))  # noqa: TRY004 - it is an answer, not an argument
                left -= 1

    def close(self) -> None:
        self._socket.close()


def steps_of(recording: Recording, calls: int) -> list[list[bytes]]:
    """Return the commands of so many calls, all first steps, then all second steps, and so on."""
    return [list(step) for step in zip(*islice(recording.repetitions(), calls), strict=True)]
