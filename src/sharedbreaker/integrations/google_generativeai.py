"""google-generativeai behind circuit breakers: ``guard(model, text=..., vision=..., imagen=...)``.

Nothing here imports the SDK.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from sharedbreaker.google_errors import outcome_of, retry_after_of
from sharedbreaker.integrations.google.breakers import Breakers, role_breakers
from sharedbreaker.integrations.google.calls import GuardedCalls
from sharedbreaker.integrations.google.roles import Role, role_of
from sharedbreaker.integrations.google.routes import Route
from sharedbreaker.integrations.google.streams import AsyncGuardedStream, GuardedStream
from sharedbreaker.integrations.google.twins import classes_of, refuse_twin, twin_of
from sharedbreaker.open_calls import AsyncOpenCall, OpenCall

__all__ = ["DEFAULT_TIMEOUT", "METHODS", "guard", "outcome_of", "retry_after_of"]

Guarded = TypeVar("Guarded")

DEFAULT_TIMEOUT = 300.0
"""Seconds that a guarded call may last where the call does not say; the SDK's own is 600 with its retries."""

METHODS: Mapping[str, Route] = {
    "GenerativeModel.generate_content": Route.BY_PROMPT,
    "GenerativeModel.generate_content_async": Route.BY_PROMPT,
    "GenerativeModel.count_tokens": Route.UNGUARDED,
    "GenerativeModel.count_tokens_async": Route.UNGUARDED,
    "GenerativeModel.from_cached_content": Route.UNGUARDED,
    "GenerativeModel.start_chat": Route.LOCAL,
    "ChatSession.send_message": Route.THROUGH,
    "ChatSession.send_message_async": Route.THROUGH,
    "ChatSession.rewind": Route.LOCAL,
    "PredictionServiceClient.predict": Route.IMAGEN,
    "PredictionServiceAsyncClient.predict": Route.IMAGEN,
    "PredictionServiceClient.get_operation": Route.UNGUARDED,
    "PredictionServiceClient.list_operations": Route.UNGUARDED,
    "PredictionServiceAsyncClient.get_operation": Route.UNGUARDED,
    "PredictionServiceAsyncClient.list_operations": Route.UNGUARDED,
    "configure": Route.LOCAL,
    "embed_content": Route.UNGUARDED,
    "embed_content_async": Route.UNGUARDED,
    "upload_file": Route.UNGUARDED,
    "get_file": Route.UNGUARDED,
    "list_files": Route.UNGUARDED,
    "delete_file": Route.UNGUARDED,
    "list_models": Route.UNGUARDED,
    "get_model": Route.UNGUARDED,
    "get_base_model": Route.UNGUARDED,
    "list_tuned_models": Route.UNGUARDED,
    "get_tuned_model": Route.UNGUARDED,
    "create_tuned_model": Route.UNGUARDED,
    "update_tuned_model": Route.UNGUARDED,
    "delete_tuned_model": Route.UNGUARDED,
    "get_operation": Route.UNGUARDED,
    "list_operations": Route.UNGUARDED,
}
"""Where each method and function goes."""

_MODEL = ("google.generativeai.generative_models", "GenerativeModel")
_CHAT = ("google.generativeai.generative_models", "ChatSession")
_PREDICTION = "PredictionServiceClient"
_ASYNC_PREDICTION = "PredictionServiceAsyncClient"


def guard(
    model: Guarded,
    *,
    text: Breakers = None,
    vision: Breakers = None,
    imagen: Breakers = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> Guarded:
    """Return ``model`` with its calls guarded: its chats and streams included.

    What is returned is a ``GenerativeModel`` too and shares everything with ``model``, which stays as it is.

    Args:
        model: a ``GenerativeModel``; or a ``ChatSession``; or, for Imagen, a ``PredictionServiceClient``
            or ``PredictionServiceAsyncClient`` of ``google.ai.generativelanguage``.
        text: guards prompts without an image.
        vision: guards prompts that have one, or a video.
        imagen: guards ``predict``, and ``generate_content`` of a model that draws.
        timeout: seconds that a call may last whose ``request_options`` have no timeout. Default 300.

    Each of the three takes a CircuitBreaker, an AsyncCircuitBreaker for the async methods, a pair of both,
    or None, the default, which leaves that service unguarded. Outcomes are judged by ``outcome_of``,
    whatever the breaker's ``expected_exception``. A call is made once: where the ``request_options`` have no
    ``retry``, the SDK's own retries, which go on for ten minutes, are off.

    Raises:
        TypeError: for anything else than a model or a breaker, and from a call whose breaker is of the
            other kind only.

    """
    breakers = role_breakers(text=text, vision=vision, imagen=imagen)
    refuse_twin(model)
    classes = classes_of(model)
    calls = GuardedCalls(breakers)
    names = {name for module, name in classes if module.startswith("google.ai.generativelanguage")}
    if _MODEL in classes:
        return model if breakers.are_none else _guarded_model(model, calls, timeout)
    if _CHAT in classes:
        return model if breakers.are_none else _guarded_chat(model, calls, timeout)
    if {_PREDICTION, _ASYNC_PREDICTION} & names:
        return model if breakers.are_none else _guarded_prediction(model, calls, timeout, names)
    raise TypeError(f"guard takes a google.generativeai.GenerativeModel, not {model!r}")


def _guarded_model(model: Any, calls: GuardedCalls, timeout: float) -> Any:
    generate = type(model).generate_content
    generate_async = type(model).generate_content_async

    @functools.wraps(generate)
    def guarded(self: Any, contents: Any, **arguments: Any) -> Any:
        role, call = _prepared(generate, self, contents, arguments, timeout)
        return calls.run(role, call, _hand_over if arguments.get("stream") else _never)

    @functools.wraps(generate_async)
    async def guarded_async(self: Any, contents: Any, **arguments: Any) -> Any:
        role, call = _prepared(generate_async, self, contents, arguments, timeout)
        return await calls.run_async(role, call, _hand_over_async if arguments.get("stream") else _never)

    return twin_of(model, generate_content=guarded, generate_content_async=guarded_async)


def _guarded_chat(chat: Any, calls: GuardedCalls, timeout: float) -> Any:
    model = _guarded_model(chat.model, calls, timeout)
    return twin_of(chat, model=property(lambda _: model))


def _guarded_prediction(client: Any, calls: GuardedCalls, timeout: float, names: set[str]) -> Any:
    predict = type(client).predict

    if _ASYNC_PREDICTION in names:

        @functools.wraps(predict)
        async def guarded_async(self: Any, *arguments: Any, **options: Any) -> Any:
            options = _bounded(options, timeout)
            return await calls.run_async(Role.IMAGEN, functools.partial(predict, self, *arguments, **options))

        return twin_of(client, predict=guarded_async)

    @functools.wraps(predict)
    def guarded(self: Any, *arguments: Any, **options: Any) -> Any:
        options = _bounded(options, timeout)
        return calls.run(Role.IMAGEN, functools.partial(predict, self, *arguments, **options))

    return twin_of(client, predict=guarded)


def _prepared(
    generate: Callable[..., Any], model: Any, contents: Any, arguments: dict[str, Any], timeout: float
) -> tuple[Role, Callable[[], Any]]:
    if isinstance(contents, Iterator):
        contents = list(contents)
    arguments = {**arguments, "request_options": _bounded(arguments.get("request_options"), timeout)}
    return role_of(model.model_name, contents), functools.partial(generate, model, contents, **arguments)


def _bounded(options: Mapping[str, Any] | None, timeout: float) -> dict[str, Any]:
    bounded = {"retry": None, **(options or {})}
    if bounded.get("timeout") is None:
        bounded["timeout"] = timeout
    return bounded


def _never(_response: Any, _opened: Any) -> bool:
    return False


def _hand_over(response: Any, opened: OpenCall) -> bool:
    # A prompt that was blocked is known to be by now, and nobody gets to the end of its stream.
    if response._error is not None:  # noqa: SLF001
        return False
    response._iterator = GuardedStream.of_running(opened, response._iterator)  # noqa: SLF001
    return True


def _hand_over_async(response: Any, opened: AsyncOpenCall) -> bool:
    if response._error is not None:  # noqa: SLF001
        return False
    response._iterator = AsyncGuardedStream.of_running(opened, response._iterator)  # noqa: SLF001
    return True
