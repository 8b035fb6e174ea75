"""Several questions in one round trip, for who looks at many circuits and changes none."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from redis import ConnectionPool
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sharedbreaker.store.bounded_connection import give_up_at
from sharedbreaker.store.process import ForgetsAtFork, call_forget_in_children
from sharedbreaker.store.steps import pack


class Question(NamedTuple):
    """One command that only reads, and the key by which a Redis Cluster finds who answers it."""

    key: str
    words: tuple[str | int, ...]


class RoundTrip(ForgetsAtFork):
    """A connection of its own to one Redis, which one thread uses at a time.

    Args:
        pool: what makes bounded connections.

    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self.forget()
        call_forget_in_children(self)

    def forget(self) -> None:
        """Drop the connection, which is the parent's."""
        self._lock = threading.Lock()
        self._connection: Any = None

    def ask_all(self, questions: Sequence[Question], deadline: float) -> list[Any]:
        """Ask all of them at once, and wait for the answers until ``deadline``.

        An error is not raised: it stands in the place of each answer that it took.
        """
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return [RedisTimeoutError("somebody else was asking for too long")] * len(questions)
        try:
            return self._ask_all(questions, deadline)
        except Exception as error:
            return [error] * len(questions)
        finally:
            self._lock.release()

    def _ask_all(self, questions: Sequence[Question], deadline: float) -> list[Any]:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._pool.make_connection()
        try:
            give_up_at.set(deadline)
            connection.connect()
            _limit(connection, deadline)
            packed = b"".join(map(_packed, questions))
            connection.send_packed_command([packed], check_health=False)
            return [_answer(connection, deadline) for _ in questions]
        except BaseException:
            # Whatever is still under way on it belongs to nobody's next question.
            connection.disconnect()
            raise


@lru_cache(maxsize=128)
def _packed(question: Question) -> bytes:
    # Whoever looks asks the same again and again.
    return pack(question.words)


def _answer(connection: Any, deadline: float) -> Any:
    _limit(connection, deadline)
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def _limit(connection: Any, deadline: float) -> None:
    # A socket's own timeout bounds each answer, and not all of them together.
    left = deadline - time.monotonic()
    if left <= 0:
        raise RedisTimeoutError("not all answers came in time")
    sock = connection._sock  # noqa: SLF001 - redis-py has no other way to say it for one answer
    if sock is not None:
        sock.settimeout(left)
