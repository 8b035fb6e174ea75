"""``sharedbreaker exporter``: the circuits of a Redis for Prometheus, without any of the app's code."""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
from types import FrameType

import click

from sharedbreaker.circuit.errors import SettingsError
from sharedbreaker.cli.serving import refuse, refuse_address, serving

DEFAULT_PORT = 9787


@click.command(short_help="Serve the figures of all circuits to Prometheus.")
@serving(port=DEFAULT_PORT, redis_is_to="read", who_waits="a scrape")
def exporter(*, redis_url: str | None, prefix: str, host: str, port: int, timeout: float) -> None:
    """Serve the figures of all circuits to Prometheus, at /metrics, until SIGTERM or Ctrl-C.

    Reads Redis when it is scraped, and only reads. It finds circuits by the list in Redis, so it needs none
    of the app's code and shows also those of processes that are gone. While Redis does not answer, it goes on
    to answer, with circuit_breaker_redis_up 0.

    Exits 0 when it is told to end, 2 if it could not begin.
    """
    if importlib.util.find_spec("prometheus_client") is None:
        refuse(
            "exporter",
            "it needs prometheus-client, which is not installed: pip install 'sharedbreaker[prometheus]'",
        )
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
        refuse("exporter", str(error))
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        refuse_address("exporter", host, port, error)
    click.echo(f"serving http://{host}:{server.server_port}/metrics", err=True)
    while not ended.wait(_SECONDS_BETWEEN_LOOKS):
        pass
    server.shutdown()
    server.server_close()
    thread.join()


# Windows delivers Ctrl-C only between two waits.
_SECONDS_BETWEEN_LOOKS = 3600.0 if os.name == "posix" else 0.5
