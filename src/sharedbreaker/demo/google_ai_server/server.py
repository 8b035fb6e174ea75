"""The local Google AI server as an object in this process."""

import socket
import socketserver
from contextlib import suppress
from threading import Lock, Thread
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sharedbreaker.demo.google_ai_server.behaviour import Behaviour, Content, Fault, GoogleAiService
from sharedbreaker.demo.google_ai_server.books import Books, JournalEntry
from sharedbreaker.demo.google_ai_server.connection import Connection
from sharedbreaker.demo.google_ai_server.endpoint import Endpoint

if TYPE_CHECKING:
    from typing_extensions import Self

_SECONDS_BETWEEN_LOOKS_AT_SHUTDOWN = 0.02
_SECONDS_TO_JOIN = 1.0


class GoogleAiServer:
    """Speaks the REST protocol of Google AI on this machine, and misbehaves when told to.

        with GoogleAiServer() as server:
            server.behave(GoogleAiService.VISION, Behaviour(status=503))

    ``host`` is the address to listen on; ``port`` 0 picks a free one. A server that was stopped can
    be started again: its port, its behaviours and its books are then the same. All methods may
    be called from any thread.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host = host
        self._port = port
        self._endpoints = {service: Endpoint(service) for service in GoogleAiService}
        self._listener: _Listener | None = None
        self._lock = Lock()

    @property
    def url(self) -> str:
        """The address of the server, without a slash at its end; RuntimeError before ``start``."""
        if self._port == 0:
            raise RuntimeError("the server has no address before it is started")
        return f"http://{self._host}:{self._port}"

    def start(self) -> "Self":
        """Listen, in threads of its own; a server that listens already is left as it is.

        Raises OSError if the port is not free.
        """
        with self._lock:
            if self._listener is None:
                listener = _Listener((self._host, self._port), self._endpoints)
                self._port = listener.server_address[1]
                self._listener = listener
                listener.start()
            return self

    def stop(self) -> None:
        """End all connections, those of hanging calls included, and all threads.

        A server that does not listen is left as it is.
        """
        with self._lock:
            listener, self._listener = self._listener, None
            if listener is not None:
                listener.stop()

    def __enter__(self) -> "Self":
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def behave(self, service: GoogleAiService, behaviour: Behaviour) -> None:
        """Treat the calls to ``service`` from now on, and those that hang, as ``behaviour`` says.

        Calls that are being delayed end as they were going to.
        """
        self._endpoints[service].behave(behaviour)

    def play(self, service: GoogleAiService, *script: int | Fault | Content | Behaviour) -> None:
        """Treat each of the next calls to ``service`` as the next of ``script`` says, then all as healthy.

        A number is an HTTP status; a Fault and a Content stand for the Behaviour that has only this. A
        Behaviour with ``failures`` stands for so many calls.

            server.play(GoogleAiService.TEXT, 503, Fault.CUT, Behaviour(status=429, retry_after=30), 200)

        Raises ValueError for what no Behaviour can have.
        """
        self._endpoints[service].play([_behaviour_of(entry) for entry in script])

    def heal(self, service: GoogleAiService) -> None:
        """Make ``service`` healthy; the calls that hang are answered."""
        self.behave(service, Behaviour())

    def books(self, service: GoogleAiService) -> Books:
        """Return what ``service`` has counted."""
        return self._endpoints[service].ledger.books()

    def journal(self, service: GoogleAiService) -> list[JournalEntry]:
        """Return the calls to ``service``, oldest first: the newest 100,000 since the last reset."""
        return self._endpoints[service].ledger.journal()

    def reset_books(self) -> None:
        """Start the books of all services afresh; calls in flight stay in flight."""
        for endpoint in self._endpoints.values():
            endpoint.ledger.reset()


def _behaviour_of(entry: int | Fault | Content | Behaviour) -> Behaviour:
    if isinstance(entry, Behaviour):
        return entry
    if isinstance(entry, Fault):
        return Behaviour(fault=entry)
    return Behaviour(content=entry) if isinstance(entry, Content) else Behaviour(status=entry)


class _Listener(socketserver.TCPServer):
    """Accepts connections and gives each a thread."""

    allow_reuse_address = True
    request_queue_size = 1024
    server_address: tuple[str, int]

    def __init__(self, address: tuple[str, int], endpoints: dict[GoogleAiService, Endpoint]) -> None:
        class ConnectionToEndpoints(Connection):
            pass

        ConnectionToEndpoints.endpoints = endpoints
        super().__init__(address, ConnectionToEndpoints)
        self._accepting = Thread(
            target=self.serve_forever,
            args=(_SECONDS_BETWEEN_LOOKS_AT_SHUTDOWN,),
            name=f"google-ai-server-{self.server_address[1]}",
            daemon=True,
        )
        self._connections: list[tuple[Thread, socket.socket]] = []

    def start(self) -> None:
        self._accepting.start()

    def stop(self) -> None:
        deadline = monotonic() + _SECONDS_TO_JOIN
        self.shutdown()
        self._accepting.join()
        self.server_close()
        for _, client in self._connections:
            # One that its thread has closed meanwhile is at its end anyway.
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread, _ in self._connections:
            thread.join(max(0.0, deadline - monotonic()))

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = Thread(
            target=self._serve,
            args=(request, client_address),
            name=f"{self._accepting.name}-connection",
            daemon=True,
        )
        thread.start()
        self._connections = [pair for pair in self._connections if pair[0].is_alive()]
        self._connections.append((thread, request))

    def _serve(self, client: socket.socket, address: Any) -> None:
        try:
            # A client that goes away in the middle of a call is no news.
            with suppress(OSError):
                self.finish_request(client, address)
        except Exception:
            self.handle_error(client, address)
        finally:
            self.shutdown_request(client)
