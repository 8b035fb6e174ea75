"""Who this process is, and names for its admissions that no other process uses."""

from __future__ import annotations

import itertools
import os
import secrets
import socket
import sys
from collections.abc import Callable
from importlib import import_module

from sharedbreaker.store.members import Members


class Process:
    """This process as Redis knows it. A forked child gets an identity of its own."""

    def __init__(self) -> None:
        self.who = f"{socket.gethostname()[:80]}:{os.getpid()}"
        self._prefix = secrets.token_hex(6)
        # next() on it is atomic, so that threads need no lock.
        self._numbers = itertools.count()

    def new_token(self) -> str:
        """Return a name for one admission: 20 characters, never used before by any process."""
        return f"{self._prefix}{next(self._numbers):08x}"


class _Current:
    def __init__(self) -> None:
        self.process = Process()
        self.after_fork: Members[ForgetsAtFork] = Members()


class ForgetsAtFork:
    """Something that must start anew in a forked child."""

    def forget(self) -> None:
        """Drop what belongs to the parent. Called in the child, before anything else runs there."""
        raise NotImplementedError


_current = _Current()


def this_process() -> Process:
    """Return who this process is."""
    return _current.process


def call_forget_in_children(something: ForgetsAtFork) -> None:
    """Have ``something.forget()`` called in every child forked from now on. Keeps no reference to it."""
    _current.after_fork.add(something)


def _start_anew() -> None:
    _current.process = Process()
    for something in _current.after_fork.alive():
        something.forget()


def _begin_child() -> None:
    _start_anew()
    # gunicorn's gevent workers patch threads after their fork. A lock from before is one of real threads: all
    # greenlets are one thread to it, and whoever waits for it stops them all.
    if "gevent" in sys.modules:
        import_module("gevent.events").subscribers.append(_hear_of_gevent)


def _hear_of_gevent(event: object) -> None:
    if type(event).__name__ == "GeventDidPatchAllEvent":
        _start_anew()


_register: Callable[..., None] | None = getattr(os, "register_at_fork", None)
if _register is not None:
    _register(after_in_child=_begin_child)
