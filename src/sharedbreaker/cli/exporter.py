"""``sharedbreaker exporter``: the circuits of a Redis for Prometheus, without any of the app's code."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

import click

from sharedbreaker.circuit.errors import SettingsError
from sharedbreaker.store.keys import DEFAULT_PREFIX

DEFAULT_PORT = 9787
HIGHEST_PORT = 65535
LONGEST_TIMEOUT = 60.0


@click.command(short_help="Serve the figures of all circuits to Prometheus.")
@click.option(
    "--redis",
    "redis_url",
    metavar="URL",
    help="The Redis to read (redis://, rediss:// or unix://). Default: SHAREDBREAKER_REDIS_URL, else "
    "REDIS_URL, else localhost.",
)
@click.option(
    "--prefix", default=DEFAULT_PREFIX, show_default=True, help="What the keys of the circuits begin with."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 in a container.",
)
@click.option(
    "--port",
    type=click.IntRange(0, HIGHEST_PORT),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on; 0 for any free one, which is printed.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.01, LONGEST_TIMEOUT),
    default=0.5,
    show_default=True,
    help="Seconds that a scrape may wait for Redis.",
)
def exporter(*, redis_url: str | None, prefix: str, host: str, port: int, timeout: float) -> None:
    """Serve the figures of all circuits to Prometheus, at /metrics, until SIGTERM or Ctrl-C.

    Reads Redis when it is scraped, and only reads. It finds circuits by the list in Redis, so it needs none
    of the app's code and shows also those of processes that are gone. While Redis does not answer, it goes on
    to answer, with circuit_breaker_redis_up 0.

    Exits 0 when it is told to end, 2 if it could not begin.
    """
    if importlib.util.find_spec("prometheus_client") is None:
        _refuse("it needs prometheus-client, which is not installed: pip install 'sharedbreaker[prometheus]'")
    from prometheus_client import CollectorRegistry, start_http_server  # noqa: PLC0415 - optional library

    from sharedbreaker.integrations.prometheus import (  # noqa: PLC0415 - optional library
        CircuitBreakerCollector,
    )

    # Before anything listens, so that whoever sees it answer may also end it.
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    for which in (signal.SIGTERM, signal.SIGINT):
        signal.signal(which, end)
    registry = CollectorRegistry()
    try:
        collector = CircuitBreakerCollector(redis=redis_url, prefix=prefix, timeout=timeout)
        registry.register(collector)
    except SettingsError as error:
        _refuse(str(error))
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        _refuse(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another with --port or --host"
        )
    click.echo(f"serving http://{host}:{server.server_port}/metrics", err=True)
    while not ended.wait(_SECONDS_BETWEEN_LOOKS):
        pass
    server.shutdown()
    server.server_close()
    thread.join()


# Windows delivers Ctrl-C only between two waits.
_SECONDS_BETWEEN_LOOKS = 3600.0 if os.name == "posix" else 0.5


def _refuse(message: str) -> NoReturn:
    click.echo(f"sharedbreaker exporter: {message}", err=True)
    sys.exit(2)
