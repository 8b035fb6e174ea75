"""google-genai behind circuit breakers: ``guard(client, text=..., vision=..., imagen=...)``.

Nothing here imports the SDK until a client of it is guarded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from sharedbreaker.google_errors import outcome_of, retry_after_of
from sharedbreaker.integrations.google.breakers import Breakers, role_breakers
from sharedbreaker.integrations.google.calls import GuardedCalls
from sharedbreaker.integrations.google.genai_methods import METHODS
from sharedbreaker.integrations.google.roles import Role, role_of
from sharedbreaker.integrations.google.routes import Route
from sharedbreaker.integrations.google.twins import classes_of, refuse_twin, twin_of

__all__ = ["DEFAULT_TIMEOUT", "METHODS", "guard", "outcome_of", "retry_after_of"]

Client = TypeVar("Client")

DEFAULT_TIMEOUT = 300.0
"""Seconds that a guarded call may last where neither client nor call says so; the SDK's own is for ever."""

_STREAM = "generate_content_stream"


def guard(
    client: Client,
    *,
    text: Breakers = None,
    vision: Breakers = None,
    imagen: Breakers = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> Client:
    """Return ``client`` with its calls guarded: chats, streams and ``client.aio`` included.

    What is returned is a ``genai.Client`` too and shares everything with ``client``, which stays as it is.

    Args:
        client: a ``genai.Client``, or the ``AsyncClient`` that is its ``aio``.
        text: guards prompts without an image.
        vision: guards prompts that have one, or a video.
        imagen: guards what generates images: ``generate_images`` and its kin, and ``generate_content`` of a
            model that draws.
        timeout: seconds that a call may last where neither ``client`` nor the call sets a timeout.
            Default 300.

    Each of the three takes a CircuitBreaker, an AsyncCircuitBreaker for ``client.aio``, a pair of both, or
    None, the default, which leaves that service unguarded. Outcomes are judged by ``outcome_of``,
    whatever the breaker's ``expected_exception``. A call is made once: where no ``retry_options`` are set,
    retries are off.

    Raises:
        TypeError: for anything else than a client or a breaker, and from ``client.models`` or
            ``client.aio.models`` where the breakers are of the other kind only.

    """
    breakers = role_breakers(text=text, vision=vision, imagen=imagen)
    refuse_twin(client)
    classes = classes_of(client)
    calls = GuardedCalls(breakers)
    if ("google.genai.client", "Client") in classes:
        return client if breakers.are_none else _guarded_client(client, calls, timeout)
    if ("google.genai.client", "AsyncClient") in classes:
        return client if breakers.are_none else _guarded_aio(client, client, calls, timeout)
    raise TypeError(f"guard takes a google.genai.Client, not {client!r}")


def _guarded_client(client: Any, calls: GuardedCalls, timeout: float) -> Any:
    models = _guarded_models(client.models, client, calls, timeout, asynchronous=False)
    aio = _guarded_aio(client.aio, client, calls, timeout)

    def get_models(_: Any) -> Any:
        calls.breakers.check(asynchronous=False)
        return models

    return twin_of(
        client,
        models=property(get_models),
        chats=property(lambda self: type(client.chats)(modules=self.models)),
        aio=property(lambda _: aio),
    )


def _guarded_aio(aio: Any, client: Any, calls: GuardedCalls, timeout: float) -> Any:
    models = _guarded_models(aio.models, client, calls, timeout, asynchronous=True)

    def get_models(_: Any) -> Any:
        calls.breakers.check(asynchronous=True)
        return models

    return twin_of(
        aio,
        models=property(get_models),
        chats=property(lambda self: type(aio.chats)(modules=self.models)),
    )


def _guarded_models(
    models: Any, client: Any, calls: GuardedCalls, timeout: float, *, asynchronous: bool
) -> Any:
    overrides = {}
    for method, route in METHODS.items():
        namespace, _, name = method.partition(".")
        if namespace != "models" or route not in {Route.BY_PROMPT, Route.IMAGEN}:
            continue
        original = getattr(models, name, None)
        if original is None:  # another version of the SDK
            continue
        overrides[name] = _override(
            original, route, calls, _Bounds(models, timeout), asynchronous=asynchronous
        )
    # A client that is collected closes the connections that its namespaces use.
    return twin_of(models, _client_kept_alive=client, **overrides)


def _override(
    original: Any, route: Route, calls: GuardedCalls, bounds: _Bounds, *, asynchronous: bool
) -> Callable[..., Any]:
    def prepared(arguments: dict[str, Any]) -> tuple[Role, Callable[[], Any]]:
        if isinstance(arguments.get("contents"), Iterator):
            arguments["contents"] = list(arguments["contents"])
        role = Role.IMAGEN if route is Route.IMAGEN else _role(arguments)
        return role, functools.partial(original, **bounds.applied_to(arguments))

    if asynchronous:

        async def guarded_async(_: Any, **arguments: Any) -> Any:
            make = calls.stream_async if original.__name__ == _STREAM else calls.run_async
            return await make(*prepared(arguments))

        return functools.wraps(original)(guarded_async)

    def guarded(_: Any, **arguments: Any) -> Any:
        make = calls.stream if original.__name__ == _STREAM else calls.run
        return make(*prepared(arguments))

    return functools.wraps(original)(guarded)


def _role(arguments: Mapping[str, Any]) -> Role:
    modalities = _entry(arguments.get("config"), "response_modalities") or ()
    return role_of(arguments.get("model"), arguments.get("contents"), modalities)


class _Bounds:
    """Puts an end to calls that nobody else has put one to."""

    def __init__(self, models: Any, timeout: float) -> None:
        self._models = models
        self._timeout_ms = round(timeout * 1000)

    def applied_to(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return a call's arguments with a timeout, and without retries, unless something else is set."""
        from google.genai import types  # noqa: PLC0415 - it is loaded where a client of it is

        config = arguments.get("config")
        options = _entry(config, "http_options")
        of_client = getattr(getattr(self._models, "_api_client", None), "_http_options", None)
        missing = {
            name: value
            for name, value in (
                ("timeout", self._timeout_ms),
                ("retry_options", types.HttpRetryOptions(attempts=1)),
            )
            if _entry(options, name) is None and _entry(of_client, name) is None
        }
        if not missing:
            return arguments
        if not isinstance(options, types.HttpOptions):
            options = types.HttpOptions(**(options or {}))
        options = options.model_copy(update=missing)
        if config is None or isinstance(config, Mapping):
            others = {name: value for name, value in (config or {}).items() if name != "httpOptions"}
            return {**arguments, "config": {**others, "http_options": options}}
        return {**arguments, "config": config.model_copy(update={"http_options": options})}


def _entry(holder: Any, name: str) -> Any:
    if isinstance(holder, Mapping):
        first, *words = name.split("_")
        return holder.get(name, holder.get(first + "".join(word.capitalize() for word in words)))
    return getattr(holder, name, None)
