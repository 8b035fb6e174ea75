"""``sharedbreaker demo``: a fleet, an outage and a recovery on this machine."""

from __future__ import annotations

import importlib.util
import math
import sys
from typing import NoReturn

import click

from sharedbreaker.breaker import CircuitBreaker
from sharedbreaker.circuit.errors import SettingsError
from sharedbreaker.demo.sdk import Sdk

LIBRARIES = {
    "rich": "rich",
    "flask": "flask",
    "gunicorn": "gunicorn",
    "requests": "requests",
}
"""Modules that every demo imports, and what installs them."""
ASYNC_LIBRARIES = {"starlette": "starlette", "uvicorn_worker": "uvicorn-worker"}

SHORTEST_SECONDS = 5.0
LONGEST_SECONDS = 3600.0
MOST_WORKERS = 32
HIGHEST_PORT = 65535


def missing_libraries(sdk: Sdk, *, on_event_loops: bool) -> list[str]:
    """Return the names of the packages that such a demo needs and that are not installed."""
    needed = {**LIBRARIES, sdk.module: sdk.value, **(ASYNC_LIBRARIES if on_event_loops else {})}
    return [package for module, package in needed.items() if not _is_installed(module)]


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False


def _check_redis(context: click.Context, option: click.Parameter, url: str | None) -> str | None:
    if url is not None:
        try:
            CircuitBreaker(redis=url)  # reads the URL, and does no I/O
        except SettingsError as error:
            raise click.BadParameter(str(error), context, option) from None
    return url


def _check_seconds(context: click.Context, option: click.Parameter, seconds: float) -> float:
    if math.isnan(seconds):
        raise click.BadParameter("nan is not a number of seconds.", context, option)
    return seconds


@click.command(short_help="See a fleet share its breakers: an outage and a recovery.")
@click.option(
    "--redis",
    "redis_url",
    metavar="URL",
    callback=_check_redis,
    help="Use this Redis (redis://, rediss:// or unix://) under a key prefix of the demo's own, and delete "
    "those keys at the end. It is never flushed or stopped. Default: start one, and stop it at the end.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, MOST_WORKERS),
    default=4,
    show_default=True,
    help="How many workers serve the app.",
)
@click.option(
    "--sdk",
    "sdk_name",
    type=click.Choice([sdk.value for sdk in Sdk]),
    help="Which of Google's SDKs makes the calls. Default: google-generativeai; with --async, google-genai.",
)
@click.option(
    "--async",
    "on_event_loops",
    is_flag=True,
    help="Serve a Starlette app with async breakers on uvicorn workers instead of a Flask app on threads.",
)
@click.option(
    "--port",
    type=click.IntRange(0, HIGHEST_PORT),
    default=0,
    help="Port of the app on 127.0.0.1. Default: any free one.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(SHORTEST_SECONDS, LONGEST_SECONDS),
    default=15.0,
    show_default=True,
    callback=_check_seconds,
    help="How long the traffic flows, from the first call to the last. The first third of it is healthy; "
    "a circuit that opens stays open for a fifth of it, at most 5 s (Imagen's: twice that).",
)
@click.option(
    "--keep",
    is_flag=True,
    help="After the verdict, leave everything running until Ctrl-C, with its addresses printed.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the verdict as JSON, and nothing else, on stdout. The story goes to stderr.",
)
def demo(
    *,
    redis_url: str | None,
    workers: int,
    sdk_name: str | None,
    on_event_loops: bool,
    port: int,
    seconds: float,
    keep: bool,
    as_json: bool,
) -> None:
    """Run a fleet on this machine, make one service fail, and watch the fleet's breaker.

    Several workers serve an app that calls text generation, vision and Imagen through one of Google's SDKs,
    against a Google AI server on this machine. Vision is made to fail and to recover. At the end it is
    counted what the clients saw, what Redis tallied and what reached the upstream.

    Exits 0 if all of that agrees, 1 if any of it does not, 2 if the demo could not be set up, and 130 after
    Ctrl-C.
    """
    if sys.platform == "win32":
        _refuse("the demo runs gunicorn, which Windows cannot; try it in WSL or in a container")
    sdk = Sdk(sdk_name or (Sdk.GENAI if on_event_loops else Sdk.GENERATIVEAI))
    if on_event_loops and sdk is not Sdk.GENAI:
        raise click.UsageError(
            "--async needs --sdk google-genai: async calls of google-generativeai go over gRPC, which the "
            "demo's Google AI server does not speak."
        )
    from sharedbreaker.demo.interruption import Interruption  # noqa: PLC0415 - not for every verb

    # First of all, so that Ctrl-C does not come in the middle of an import either.
    with Interruption() as interruption:
        missing = missing_libraries(sdk, on_event_loops=on_event_loops)
        if missing:
            _refuse(
                f"the demo needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
                "installed: pip install 'sharedbreaker[demo]'"
            )
        from sharedbreaker.demo.redis_server import NoRedisServerError  # noqa: PLC0415 - optional libraries
        from sharedbreaker.demo.run import DemoOptions, run_demo  # noqa: PLC0415 - optional libraries
        from sharedbreaker.demo.setup_error import DemoSetupError  # noqa: PLC0415 - optional libraries

        options = DemoOptions(
            redis_url,
            workers,
            port,
            seconds,
            keep=keep,
            as_json=as_json,
            sdk=sdk,
            on_event_loops=on_event_loops,
        )
        try:
            status = run_demo(options, interruption)
        except (DemoSetupError, NoRedisServerError) as error:
            _refuse(str(error))
    sys.exit(status)


def _refuse(message: str) -> NoReturn:
    click.echo(f"sharedbreaker demo: {message}", err=True)
    sys.exit(2)
