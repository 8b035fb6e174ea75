"""The usual case of a call: both of its questions packed ahead, and the short answers to them read at once.

Nothing is decided here. Whatever is not exactly as usual is left to the steps, which are given the answer.
"""

from __future__ import annotations

from typing import Any

from sharedbreaker.circuit.admission import Admission, read_usual_admission
from sharedbreaker.circuit.errors import CircuitBreakerError
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.refresh import Batch, refresh_arguments
from sharedbreaker.store.keys import Keys
from sharedbreaker.store.process import this_process
from sharedbreaker.store.scripts import script
from sharedbreaker.store.steps import head_of, pack, packed_words

MOST_ENDS = 64
ONE_FAILURE = {Outcome.FAILURE: 1}
"""What most batches that cannot wait consist of."""


class UsualCase:
    """The questions of one circuit's calls, as one process asks them."""

    def __init__(self, name: str, keys: Keys) -> None:
        self._name = name
        who = this_process().who
        first = (str(len(keys.of_script)), *keys.of_script)
        self._admit = head_of(("EVALSHA", script("admit").sha, *first), 3)
        self._admit_end = packed_words((who, "0"))
        self._report = head_of(("EVALSHA", script("report").sha, *first), 6)
        self._refresh_words = ("EVALSHA", script("refresh").sha, *first)
        self._refresh = head_of(self._refresh_words, 11)
        self._who = who
        self._ends: dict[tuple[Outcome | None, str], bytes] = {}
        self._packed_who = packed_words((who,))

    def admission(self, token: str) -> bytes:
        """Return the question whether the call named ``token`` may run."""
        return f"{self._admit}${len(token)}\r\n{token}\r\n{self._admit_end}".encode()

    def report(self, admission: Admission, outcome: Outcome, exception: str) -> bytes:
        """Return the message that an admitted call has ended."""
        end = self._ends.get((outcome, exception))
        if end is None:
            end = self._new_end(outcome, exception, Outcome(outcome).value, self._who)
        token, epoch = admission.token, admission.epoch
        begin = f"{self._report}${len(token)}\r\n{token}\r\n${len(epoch)}\r\n{epoch}\r\n"
        return begin.encode() + end

    def refresh(self, batch: Batch, told: str) -> bytes:
        """Return a batch as it is told, with the question where the circuit stands."""
        if (
            batch.outcomes == ONE_FAILURE
            and not batch.rejected
            and batch.retry_after_ms is None
            and not batch.slow
        ):
            return self._refresh_by_failure(batch, told)
        arguments = refresh_arguments(batch, told, self._who)
        text = self._refresh + packed_words(arguments)
        # An exception may be named in any alphabet.
        return text.encode() if text.isascii() else pack((*self._refresh_words, *arguments))

    def _refresh_by_failure(self, batch: Batch, told: str) -> bytes:
        end = self._ends.get((None, batch.exception))
        if end is None:
            end = self._new_end(None, batch.exception, "0", "0", "0", "0", "1")
        name, epoch = batch.name, batch.epoch
        begin = f"{self._refresh}${len(name)}\r\n{name}\r\n${len(told)}\r\n{told}\r\n"
        return f"{begin}{self._packed_who}${len(epoch)}\r\n{epoch}\r\n".encode() + end

    def _new_end(self, outcome: Outcome | None, exception: str, *words: str) -> bytes:
        """Return how a message ends with which the service asked for no wait; None is of a batch."""
        # An exception may be named in any alphabet.
        name = exception.encode()
        end = packed_words(words).encode() + b"$%d\r\n%b\r\n$0\r\n\r\n" % (len(name), name)
        if len(self._ends) < MOST_ENDS:
            self._ends[outcome, exception] = end
        return end

    def read_admission(self, reply: Any, token: str) -> Admission | CircuitBreakerError | None:
        """Return the admission or the refusal that ``reply`` says in short; None where it says more."""
        if type(reply) is not bytes:
            return None
        return read_usual_admission(reply.decode(), self._name, token)
