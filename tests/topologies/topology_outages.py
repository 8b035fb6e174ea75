"""Ways to lose a server that keeps its data, and to have it back."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

from redis import Redis
from topology_proxy import Proxy

from sharedbreaker.demo.redis_server import RedisServer

HOST = "redis.topology.test"
"""A name that resolves to 127.0.0.1 while `names_resolve` lasts, and hangs in `hanging_dns`."""
LOOKUP_SECONDS = 15
"""After so long a lookup that hangs gives up, as those of a real resolver do."""
SERVER_OPTIONS = ("--appendonly", "yes", "--appendfsync", "always")
"""So that a killed server is started again with all that it had answered."""


class Names:
    """The resolver of this process, which answers for HOST or hangs."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.lookups = 0
        """Lookups of HOST so far."""
        self.hanging = 0
        """Lookups of HOST that hang now."""
        self._real = socket.getaddrinfo
        self._lock = threading.Lock()

    def getaddrinfo(self, host: Any, *others: Any, **more: Any) -> Any:
        if host == HOST:
            host = "127.0.0.1"
            with self._lock:
                self.lookups += 1
                self.hanging += 1
            answers = self.may_answer.wait(LOOKUP_SECONDS)
            with self._lock:
                self.hanging -= 1
            if not answers:
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._real(host, *others, **more)


class Place:
    """A server, a proxy in front of it, and a name for the proxy."""

    def __init__(self, server: RedisServer, proxy: Proxy, names: Names) -> None:
        self.server = server
        self.proxy = proxy
        self.names = names
        self.admin: Redis = server.client(decode_responses=True)

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.proxy.port}/0"


@contextmanager
def running_server() -> Iterator[RedisServer]:
    """A server for all tests of a module."""
    with RedisServer(*SERVER_OPTIONS) as server:
        yield server


@contextmanager
def place_of(server: RedisServer) -> Iterator[Place]:
    """The emptied server at an address of its own: no other test's breakers have to do with it."""
    names = Names()
    with Proxy(server.port) as proxy, mock.patch("socket.getaddrinfo", names.getaddrinfo):
        place = Place(server, proxy, names)
        place.admin.flushall()
        yield place
        place.admin.close()


@contextmanager
def frozen(place: Place) -> Iterator[None]:
    """SIGSTOP: connections stay open and nothing is answered."""
    place.server.freeze()
    try:
        yield
    finally:
        place.server.thaw()


@contextmanager
def killed(place: Place) -> Iterator[None]:
    """SIGKILL, and a start with the data of before."""
    place.server.kill()
    try:
        yield
    finally:
        place.server.start()


@contextmanager
def refused(place: Place) -> Iterator[None]:
    """All connections are closed, and none is taken."""
    place.proxy.refuse()
    try:
        yield
    finally:
        place.proxy.listen()


@contextmanager
def silent(place: Place) -> Iterator[None]:
    """Connections are taken, requests are swallowed, and nothing is answered."""
    place.proxy.is_silent = True
    try:
        yield
    finally:
        place.proxy.is_silent = False
        # A request of which a part was swallowed must not go on with its rest.
        place.proxy.drop()


@contextmanager
def cut_in_mid_reply(place: Place) -> Iterator[None]:
    """Redis does what it is asked for, and every answer breaks off in its middle."""
    place.proxy.cuts_all = True
    try:
        yield
    finally:
        place.proxy.cuts_all = False


@contextmanager
def hanging_dns(place: Place) -> Iterator[None]:
    """All connections are lost, and the name that leads to new ones is looked up without an answer."""
    place.names.may_answer.clear()
    place.proxy.drop()
    try:
        yield
    finally:
        place.names.may_answer.set()


Outage = Callable[[Place], AbstractContextManager[None]]
OUTAGES: list[Outage] = [frozen, killed, refused, silent, cut_in_mid_reply, hanging_dns]
OUTAGES_THAT_HANG: list[Outage] = [frozen, silent, hanging_dns]


def name_of(outage: object) -> str:
    return str(getattr(outage, "__name__", outage))
