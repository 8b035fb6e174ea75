"""``sharedbreaker serve``: the page of a Redis' circuits, without any of the app's code."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from sharedbreaker.circuit.errors import SettingsError
from sharedbreaker.cli.serving import refuse, refuse_address, serving
from sharedbreaker.integrations.web import BreakerSite
from sharedbreaker.integrations.web.asgi import BreakerApp

DEFAULT_PORT = 9788
TOKEN_VARIABLE = "SHAREDBREAKER_WEB_TOKEN"  # noqa: S105 - a variable's name
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@click.command(short_help="Serve a page that shows all circuits, live.")
@serving(port=DEFAULT_PORT, redis_is_to="show", who_waits="an answer")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help="File with the token that lets people act: hold open, close, disable and enable. Default: the "
    f"variable {TOKEN_VARIABLE}; without either, the page is read-only.",
)
@click.option(
    "--allow-host",
    "allowed",
    multiple=True,
    metavar="NAME",
    help="A name by which browsers may ask for the page, besides --host, localhost and 127.0.0.1; may be "
    "repeated. Without it, a page that listens elsewhere than on this machine alone takes any name.",
)
def serve(
    *,
    redis_url: str | None,
    prefix: str,
    host: str,
    port: int,
    timeout: float,
    token_file: Path | None,
    allowed: tuple[str, ...],
) -> None:
    """Serve a page that shows all circuits, live, until SIGTERM or Ctrl-C.

    It finds circuits by the list in Redis, so it needs none of the app's code and shows also those of
    processes that are gone. The JSON behind it and /metrics are there too.

    Exits 0 when it is told to end, 2 if it could not begin.
    """
    if importlib.util.find_spec("uvicorn") is None:
        refuse("serve", "it needs uvicorn, which is not installed: pip install 'sharedbreaker[web]'")
    try:
        token = _token(token_file)
        site = BreakerSite(
            redis=redis_url,
            prefix=prefix,
            timeout=timeout,
            token=token,
            whole_fleet=True,
            hosts=_hosts(host, allowed),
        )
    except SettingsError as error:
        refuse("serve", str(error))
    except (OSError, UnicodeDecodeError) as error:
        refuse("serve", f"cannot read the token in {token_file}: {error}")
    try:
        listener = _listener(host, port)
    except OSError as error:
        refuse_address("serve", host, port, error)
    with listener:
        address = f"[{host}]" if ":" in host else host
        what = "read-only" if token is None else "with acts for who has the token"
        click.echo(f"serving http://{address}:{listener.getsockname()[1]}/ {what}", err=True)
        _run(BreakerApp(site), listener)


def _run(app: BreakerApp, listener: socket.socket) -> None:
    import uvicorn  # noqa: PLC0415 - optional library

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2
    )
    for which in (signal.SIGTERM, signal.SIGINT):
        # The server has its own while it runs, ends in good order, and then sends itself the signal again.
        signal.signal(which, _end)
    uvicorn.Server(config).run(sockets=[listener])


def _end(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(0)


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        # On Windows this option would let another program take the port as well.
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


def _token(token_file: Path | None) -> str | None:
    if token_file is not None:
        return token_file.read_text(encoding="utf-8").strip()
    return os.environ.get(TOKEN_VARIABLE) or None


def _hosts(host: str, allowed: tuple[str, ...]) -> list[str] | None:
    """Return the names to be known by: a page on this machine must not be read under a name of another's."""
    if not allowed and not _is_loopback(host):
        return None
    return [host, *_LOOPBACK, *allowed]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
