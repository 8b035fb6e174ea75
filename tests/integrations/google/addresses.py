"""Where the SDKs are sent: the healthy server and its twin, nobody, and servers whose TLS cannot be had."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import trustme


@dataclass(frozen=True)
class Address:
    """One server, over both protocols."""

    url: str
    target: str
    tls: bool = False


def nobody() -> Address:
    """Return an address that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return Address(f"http://127.0.0.1:{port}", f"127.0.0.1:{port}")


@contextmanager
def tls_server(*, closes: bool) -> Iterator[Address]:
    """Serve a handshake whose certificate nobody trusts, or one that ends before it has begun."""
    certificate = trustme.CA().issue_cert("localhost", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2", "http/1.1"])
    certificate.configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client, suppress(OSError):
                    client.settimeout(5)
                    if closes:
                        client.recv(1)
                    else:
                        with context.wrap_socket(client, server_side=True) as secured:
                            secured.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        # By number: of a name with two addresses, gRPC tells the error of the last one only.
        yield Address(f"https://127.0.0.1:{port}", f"127.0.0.1:{port}", tls=True)
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
