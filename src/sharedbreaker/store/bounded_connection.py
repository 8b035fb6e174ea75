"""Connections whose making is bounded as a whole.

A socket's timeout bounds each step of connecting by itself, and does not bound the first one at all: a name
that cannot be resolved may hang for half a minute. So the steps are taken in a thread, and whoever waits for
them leaves in time. Connections are made seldom; the thread is nothing on a call's usual path.
"""

from __future__ import annotations

# Python reads it when a name is first resolved; a child forked in that very moment could resolve none.
import encodings.idna  # noqa: F401
import math
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from typing import Any, Generic, TypeVar

from redis.exceptions import TimeoutError as RedisTimeoutError

T = TypeVar("T")

# The monotonic moment by which a connection that is made in this thread or task is of use to nobody.
give_up_at: ContextVar[float] = ContextVar("sharedbreaker_give_up_at", default=math.inf)


class Attempt(Generic[T]):
    """Something done in a thread of its own, for whoever waits for it, each no longer than so many seconds.

    Args:
        do: what is done.
        undo: called with the result where it came after nobody waited for it any more.

    """

    def __init__(self, do: Callable[[], T], undo: Callable[[T], None] = lambda _: None) -> None:
        self._do = do
        self._undo = undo
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._started = False
        self._runner = 0
        self._given_up = False
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sharedbreaker-redis", daemon=True)

    def wait(self, timeout: float | None) -> T:
        """Do it; return its result, raise its error, or raise redis-py's TimeoutError after ``timeout``."""
        self.start()
        self._ended.wait(timeout)
        with self._lock:
            if not self._ended.is_set():
                self._given_up = True
                raise RedisTimeoutError(f"no answer within {timeout:.2g} seconds")
        if self._error is not None:
            raise self._error
        return self._result[0]

    def start(self) -> None:
        """Do it, and wait for nothing. Started once, however often it is called."""
        with self._lock:
            if self._started:
                return
            self._started = True
        try:
            self._thread.start()
        except RuntimeError:  # at its exit an interpreter starts no thread any more
            self._run()

    @property
    def is_under_way(self) -> bool:
        """Whether it has not ended yet, whether or not somebody waits for it."""
        return not self._ended.is_set()

    @property
    def is_this_thread(self) -> bool:
        """Whether the caller is what is being done."""
        return threading.get_ident() == self._runner

    def _run(self) -> None:
        error: BaseException | None = None
        self._runner = threading.get_ident()
        try:
            self._result.append(self._do())
        except BaseException as caught:  # it is raised where somebody waits for it
            error = caught
        with self._lock:
            self._error = error
            if self._given_up and error is None:
                self._undo(self._result[0])
            self._ended.set()


@cache
def bounded(connection_class: type[Any]) -> type[Any]:
    """Return a subclass of a redis-py connection class whose `connect` ends in time, or fails."""

    class BoundedConnection(connection_class):  # type: ignore[misc]  # the class is the user's
        _attempt: Attempt[None] | None = None
        made_at = math.inf
        """Monotonic moment before the latest connecting began."""

        def connect(self) -> None:
            attempt = self._attempt
            if attempt is not None and attempt.is_under_way and attempt.is_this_thread:
                super().connect()
            elif attempt is not None and attempt.is_under_way:
                raise RedisTimeoutError("an earlier try to connect has not ended yet")
            elif getattr(self, "_sock", None) is None:
                self.made_at = time.monotonic()
                self._attempt = Attempt(super().connect, lambda _: self.disconnect())
                self._attempt.wait(min(self.socket_connect_timeout, give_up_at.get() - time.monotonic()))
                # Without it the connection would be part of a cycle, and its socket would be left to chance.
                self._attempt = None

    return BoundedConnection
