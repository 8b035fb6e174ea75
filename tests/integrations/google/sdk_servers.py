"""The servers that the SDKs of these tests talk to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from addresses import Address, nobody, tls_server
from situations import Trouble
from ways import HAS_GENERATIVEAI

from sharedbreaker.demo.google_ai_server import Behaviour, GoogleAiServer, GoogleAiService


class Servers:
    """The local Google AI server over both protocols, and what there is instead of one."""

    def __init__(self, rest: GoogleAiServer, grpc: Any, troubles: dict[Trouble, Address]) -> None:
        self.rest = rest
        self.grpc = grpc
        self._troubles = troubles

    @property
    def address(self) -> Address:
        return Address(self.rest.url, "" if self.grpc is None else self.grpc.target)

    def behave(self, behaviour: Behaviour) -> None:
        for service in GoogleAiService:
            self.rest.behave(service, behaviour)
        if self.grpc is not None:
            self.grpc.behaviour = behaviour

    def arrange(self, server: Behaviour | Trouble) -> Address:
        if isinstance(server, Trouble):
            return self._troubles[server]
        self.behave(server)
        return self.address


@pytest.fixture(scope="module")
def all_servers() -> Iterator[Servers]:
    with ExitStack() as stack, pytest.MonkeyPatch.context() as environment:
        environment.setenv("NO_PROXY", "127.0.0.1,localhost")
        rest = stack.enter_context(GoogleAiServer())
        grpc = None
        if HAS_GENERATIVEAI:
            from grpc_twin import GrpcTwin

            # It writes every handshake that fails to stderr.
            environment.setenv("GRPC_VERBOSITY", "NONE")
            grpc = stack.enter_context(GrpcTwin())
        troubles = {
            Trouble.REFUSED: nobody(),
            Trouble.TLS_CLOSED: stack.enter_context(tls_server(closes=True)),
            Trouble.TLS_UNTRUSTED: stack.enter_context(tls_server(closes=False)),
        }
        yield Servers(rest, grpc, troubles)


@pytest.fixture
def servers(all_servers: Servers) -> Iterator[Servers]:
    all_servers.behave(Behaviour())
    all_servers.rest.reset_books()
    yield all_servers
    all_servers.behave(Behaviour())


@pytest.fixture
def arrange(servers: Servers) -> Callable[[Behaviour | Trouble], Address]:
    return servers.arrange
