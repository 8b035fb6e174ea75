"""Steps: what is to be done with Redis, written once, and walked by a thread or by a task.

A step-taker is a generator. It yields each Command that Redis is to run, is sent the reply, and returns its
result. It does no I/O by itself, so the same code serves threads and event loops.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import cache
from typing import Any, NamedTuple, Protocol, TypeVar

from redis.connection import Connection

from sharedbreaker import observation

T = TypeVar("T")


class Command(NamedTuple):
    """One command for Redis, to be sent once."""

    words: tuple[str | int, ...]
    deadline: float | None
    """Monotonic moment by which the reply must be here; None for as long as a question may take at all."""
    packed: bytes | None = None
    """The words as they go over the wire, where that was prepared."""


Steps = Generator[Command, Any, T]


class Runs(Protocol):
    """Whatever runs a command, and raises what redis-py raises."""

    def run(self, command: Command) -> Any:
        """Run it, once, and return the reply."""


class AsyncRuns(Protocol):
    """The same in an event loop."""

    async def run(self, command: Command) -> Any:
        """Run it, once, and return the reply."""


NOTHING_YET = object()


def walk(steps: Steps[T], link: Runs, first: Any = NOTHING_YET) -> T:
    """Take ``steps`` to their end in this thread.

    ``first``: the reply to their first command, or what it raised, where somebody has run it already.
    """
    try:
        command = _first_command(steps, first)
        while True:
            try:
                reply = link.run(command)
            except BaseException as error:  # noqa: PERF203 - the steps decide what it means
                command = steps.throw(error)
            else:
                command = steps.send(reply)
    except StopIteration as end:
        result: T = end.value
        return result


async def walk_async(steps: Steps[T], link: AsyncRuns, first: Any = NOTHING_YET) -> T:
    """Take ``steps`` to their end in this task. Otherwise as ``walk``."""
    try:
        command = _first_command(steps, first)
        while True:
            try:
                reply = await link.run(command)
            except BaseException as error:  # noqa: PERF203 - the steps decide what it means
                command = steps.throw(error)
            else:
                command = steps.send(reply)
    except StopIteration as end:
        result: T = end.value
        return result


def _first_command(steps: Steps[Any], first: Any) -> Command:
    if first is NOTHING_YET:
        return next(steps)
    with observation.told_already():
        next(steps)
    return steps.throw(first) if isinstance(first, BaseException) else steps.send(first)


@cache
def _packer() -> Connection:
    """Return what packs words and connects to nothing; it is the same for every kind of connection."""
    return Connection()


def pack(words: tuple[str | int, ...]) -> bytes:
    """Return a command as it goes over the wire."""
    text = head_of(tuple(map(str, words)), 0)
    # A length is one of bytes, and only here the same as one of characters.
    return text.encode() if text.isascii() else b"".join(_packer().pack_command(*words))


def packed_words(words: tuple[str, ...]) -> str:
    """Return ASCII words of a command as they go over the wire."""
    return "".join([f"${len(word)}\r\n{word}\r\n" for word in words])


def head_of(words: tuple[str, ...], more: int) -> str:
    """Return how a command goes over the wire that begins with ``words`` and has so many ``more``."""
    return f"*{len(words) + more}\r\n{packed_words(words)}"
