"""The local Google AI server as a process: prints its url and serves until it is told to end."""

import argparse
import signal
import sys

from sharedbreaker.demo.google_ai_server.server import GoogleAiServer

_ENDINGS = (signal.SIGTERM, signal.SIGINT)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="python -m sharedbreaker.demo.google_ai_server",
        description="A server that answers as Google AI does, and misbehaves when told to.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0: any free one")
    arguments = parser.parse_args()
    # Blocked before there are threads, so that no thread but this one ever gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
    server = GoogleAiServer(arguments.host, arguments.port)
    try:
        server.start()
    except (OSError, OverflowError) as error:
        parser.exit(1, f"cannot listen on {arguments.host}:{arguments.port}: {error}\n")
    with server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        signal.sigwait(_ENDINGS)


if __name__ == "__main__":
    main()
