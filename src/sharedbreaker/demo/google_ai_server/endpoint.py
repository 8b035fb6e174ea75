"""One service of the local Google AI server as its calls meet it: its orders and its books."""

import selectors
import socket
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from threading import Lock
from time import monotonic
from typing import NamedTuple

from sharedbreaker.demo.google_ai_server.behaviour import Behaviour, GoogleAiService
from sharedbreaker.demo.google_ai_server.books import Ledger

_HEALTHY = Behaviour()


class Orders(NamedTuple):
    """How one call is to be treated, and the number of the ``behave`` that said so."""

    behaviour: Behaviour
    number: int


class Waited(Enum):
    """What ended a wait."""

    TIME_IS_UP = "time is up"
    NEW_ORDERS = "new orders"
    CLIENT_LEFT = "client left"


class Endpoint:
    """A service: the behaviour in force, the books, and the calls that wait to be told more."""

    def __init__(self, service: GoogleAiService) -> None:
        self.ledger = Ledger(service)
        self._lock = Lock()
        self._orders = Orders(_HEALTHY, 0)
        self._calls_left: int | None = None
        self._script: deque[Behaviour] = deque()
        self._bells: set[socket.socket] = set()

    def behave(self, behaviour: Behaviour) -> None:
        """Treat the calls from now on, and those that hang, as ``behaviour`` says."""
        self._begin(behaviour, ())

    def play(self, script: Iterable[Behaviour]) -> None:
        """Treat each of the next calls as the next of ``script`` says, and those after it as healthy.

        A behaviour with ``failures`` stands for so many calls.
        """
        self._begin(_HEALTHY, [behaviour for behaviour in script for _ in range(behaviour.failures or 1)])

    def _begin(self, behaviour: Behaviour, script: Iterable[Behaviour]) -> None:
        with self._lock:
            self._orders = Orders(behaviour, self._orders.number + 1)
            self._calls_left = behaviour.failures
            self._script = deque(script)
            for bell in self._bells:
                bell.send(b"!")
            self._bells.clear()

    def take_orders(self) -> Orders:
        """Return how the next call is to be treated, and count it against ``failures`` or the script."""
        with self._lock:
            orders = self._orders
            if self._script:
                return Orders(self._script.popleft(), orders.number)
            if self._calls_left is not None:
                if self._calls_left == 0:
                    return Orders(_HEALTHY, orders.number)
                self._calls_left -= 1
            return orders

    def wait_for_new_orders(self, client: socket.socket, number: int) -> Waited:
        """Wait until ``behave`` is called after orders ``number``, or until ``client`` leaves."""
        with self._bell(number) as ear:
            return _wait(client, seconds=None, ear=ear)

    @contextmanager
    def _bell(self, number: int) -> Iterator[socket.socket]:
        ear, bell = socket.socketpair()
        with ear, bell:
            with self._lock:
                if self._orders.number == number:
                    self._bells.add(bell)
                else:
                    bell.send(b"!")
            try:
                yield ear
            finally:
                with self._lock:
                    self._bells.discard(bell)


def wait_for_time(client: socket.socket, seconds: float) -> Waited:
    """Wait for ``seconds``, or until ``client`` leaves."""
    return _wait(client, seconds=seconds, ear=None)


def _wait(client: socket.socket, *, seconds: float | None, ear: socket.socket | None) -> Waited:
    deadline = None if seconds is None else monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ)
        if ear is not None:
            selector.register(ear, selectors.EVENT_READ)
        while True:
            left = None if deadline is None else deadline - monotonic()
            if left is not None and left <= 0:
                return Waited.TIME_IS_UP
            ready = [key.fileobj for key, _ in selector.select(left)]
            if ear in ready:
                return Waited.NEW_ORDERS
            if client in ready:
                if _has_left(client):
                    return Waited.CLIENT_LEFT
                # An early next request; it would keep the selector awake for the whole wait.
                selector.unregister(client)


def _has_left(client: socket.socket) -> bool:
    try:
        return client.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True
