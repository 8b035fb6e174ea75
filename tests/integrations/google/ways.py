"""Every way to call Google AI with the SDKs that are installed: SDK, transport, sync or async."""

from __future__ import annotations

import asyncio
import importlib.util
import warnings
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import chain
from typing import Any

from addresses import Address

MODEL = "gemini-2.5-flash"
IMAGEN_MODEL = "imagen-4.0-generate-001"


class Ask(str, Enum):
    """What is asked, and what is done with the answer."""

    WHOLE = "whole"
    STREAM = "stream"
    CHAT = "chat"
    CHAT_STREAM = "chat_stream"
    TEXT = "text"
    """The answer's ``.text`` is read."""
    PICTURE = "picture"

    __str__ = str.__str__


Guard = Callable[[Any], Any]
"""Gives what is to be called instead of a client or a model."""


@dataclass(frozen=True)
class Way:
    """One SDK over one transport."""

    name: str
    column: str
    """Its column in the table of outcomes."""
    use: Callable[[Address, Iterable[Ask], float, Guard], list[Any]]

    def call(self, address: Address, ask: Ask, timeout: float) -> Any:
        """Make a call: where to, what, and a timeout in seconds."""
        [answer] = self.calls(address, [ask], timeout)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def calls(
        self,
        address: Address,
        asks: Iterable[Ask],
        timeout: float,
        guard: Guard = lambda unguarded: unguarded,
    ) -> list[Any]:
        """Make one call after the other by one client, with a guard around it; give answers and errors.

        Either all of them ask for pictures or none.
        """
        return self.use(address, asks, timeout, guard)


def _answer(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return error


async def _answer_async(call: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return await call()
    except Exception as error:
        return error


def _first(asks: Iterable[Ask]) -> tuple[bool, Iterable[Ask]]:
    """Tell whether pictures are asked for, and give all that is asked."""
    asks = iter(asks)
    first = next(asks)
    return first is Ask.PICTURE, chain([first], asks)


def _has(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


HAS_GENAI = _has("google.genai")
HAS_GENERATIVEAI = _has("google.generativeai")
HAS_AIOHTTP = _has("aiohttp")


def genai_client(address: Address, timeout: float, *, transport: str = "httpx", **more: Any) -> Any:
    from google import genai
    from google.genai import types

    options: dict[str, Any] = {}
    if transport == "httpx" and HAS_AIOHTTP:
        httpx = importlib.import_module("httpx2" if genai.__version__ >= "3" else "httpx")
        # The SDK takes aiohttp wherever it finds it, unless it is given a transport of httpx'.
        options["async_client_args"] = {"transport": httpx.AsyncHTTPTransport()}
    return genai.Client(
        api_key="key",
        http_options=types.HttpOptions(
            base_url=address.url,
            timeout=round(timeout * 1000),
            retry_options=types.HttpRetryOptions(attempts=1),
            **options,
        ),
        **more,
    )


def _ask_genai(client: Any, ask: Ask) -> Any:
    if ask is Ask.PICTURE:
        return client.models.generate_images(model=IMAGEN_MODEL, prompt="a cat")
    if ask is Ask.STREAM:
        return list(client.models.generate_content_stream(model=MODEL, contents="hi"))
    if ask is Ask.CHAT:
        return client.chats.create(model=MODEL).send_message("hi")
    if ask is Ask.CHAT_STREAM:
        return list(client.chats.create(model=MODEL).send_message_stream("hi"))
    response = client.models.generate_content(model=MODEL, contents="hi")
    return response.text if ask is Ask.TEXT else response


def _genai(address: Address, asks: Iterable[Ask], timeout: float, guard: Guard) -> list[Any]:
    for_pictures, asks = _first(asks)
    with guard(genai_client(address, timeout, vertexai=for_pictures)) as client:
        return [_answer(partial(_ask_genai, client, ask)) for ask in asks]


async def _ask_genai_async(aio: Any, ask: Ask) -> Any:
    if ask is Ask.PICTURE:
        return await aio.models.generate_images(model=IMAGEN_MODEL, prompt="a cat")
    if ask is Ask.STREAM:
        stream = await aio.models.generate_content_stream(model=MODEL, contents="hi")
        return [piece async for piece in stream]
    if ask is Ask.CHAT:
        return await aio.chats.create(model=MODEL).send_message("hi")
    if ask is Ask.CHAT_STREAM:
        return [piece async for piece in await aio.chats.create(model=MODEL).send_message_stream("hi")]
    response = await aio.models.generate_content(model=MODEL, contents="hi")
    return response.text if ask is Ask.TEXT else response


def _genai_async(transport: str) -> Callable[[Address, Iterable[Ask], float, Guard], list[Any]]:
    async def use(address: Address, asks: Iterable[Ask], timeout: float, guard: Guard) -> list[Any]:
        for_pictures, asks = _first(asks)
        client = guard(genai_client(address, timeout, transport=transport, vertexai=for_pictures))
        async with client.aio as aio:
            return [await _answer_async(partial(_ask_genai_async, aio, ask)) for ask in asks]

    return lambda address, asks, timeout, guard: asyncio.run(use(address, asks, timeout, guard))


def generativeai() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("google.generativeai")


def protocol() -> Any:
    return importlib.import_module("google.ai.generativelanguage_v1beta")


def rest_client(kind: Any, address: Address) -> Any:
    options = importlib.import_module("google.api_core.client_options")
    return kind(
        transport="rest", client_options=options.ClientOptions(api_key="key", api_endpoint=address.url)
    )


def grpc_channel(address: Address, *, asynchronous: bool) -> Any:
    import grpc

    kind = grpc.aio if asynchronous else grpc
    options = [("grpc.enable_http_proxy", 0)]
    if address.tls:
        return kind.secure_channel(address.target, grpc.ssl_channel_credentials(), options=options)
    return kind.insecure_channel(address.target, options=options)


def transport_of(service: str, channel: Any, *, asynchronous: bool) -> Any:
    """Return a transport of ``generative_service`` or ``prediction_service`` over ``channel``."""
    module = importlib.import_module(f"google.ai.generativelanguage_v1beta.services.{service}.transports")
    words = "".join(word.capitalize() for word in service.split("_"))
    return getattr(module, f"{words}Grpc{'AsyncIO' if asynchronous else ''}Transport")(channel=channel)


def predict_request(prompt: str) -> Any:
    glm = protocol()
    request = glm.PredictRequest.pb(glm.PredictRequest(model=f"models/{IMAGEN_MODEL}"))
    request.instances.add().struct_value.update({"prompt": prompt})
    request.parameters.struct_value.update({"sampleCount": 1})
    return glm.PredictRequest(request)


def _use(model: Any, ask: Ask, options: dict[str, Any]) -> Any:
    if ask is Ask.STREAM:
        return list(model.generate_content("hi", stream=True, request_options=options))
    if ask is Ask.CHAT:
        return model.start_chat().send_message("hi", request_options=options)
    if ask is Ask.CHAT_STREAM:
        return list(model.start_chat().send_message("hi", stream=True, request_options=options))
    response = model.generate_content("hi", request_options=options)
    return response.text if ask is Ask.TEXT else response


async def _use_async(model: Any, ask: Ask, options: dict[str, Any]) -> Any:
    if ask is Ask.STREAM:
        stream = await model.generate_content_async("hi", stream=True, request_options=options)
        return [piece async for piece in stream]
    if ask is Ask.CHAT:
        return await model.start_chat().send_message_async("hi", request_options=options)
    if ask is Ask.CHAT_STREAM:
        stream = await model.start_chat().send_message_async("hi", stream=True, request_options=options)
        return [piece async for piece in stream]
    response = await model.generate_content_async("hi", request_options=options)
    return response.text if ask is Ask.TEXT else response


def _rest(address: Address, asks: Iterable[Ask], timeout: float, guard: Guard) -> list[Any]:
    glm = protocol()
    options = {"retry": None, "timeout": timeout}
    for_pictures, asks = _first(asks)
    if for_pictures:
        client = guard(rest_client(glm.PredictionServiceClient, address))
        return [_answer(partial(client.predict, predict_request("a cat"), **options)) for _ in asks]
    model = generativeai().GenerativeModel(MODEL)
    model._client = rest_client(glm.GenerativeServiceClient, address)
    guarded = guard(model)
    return [_answer(partial(_use, guarded, ask, options)) for ask in asks]


def _grpc(address: Address, asks: Iterable[Ask], timeout: float, guard: Guard) -> list[Any]:
    glm = protocol()
    options = {"retry": None, "timeout": timeout}
    for_pictures, asks = _first(asks)
    with grpc_channel(address, asynchronous=False) as channel:
        if for_pictures:
            transport = transport_of("prediction_service", channel, asynchronous=False)
            client = guard(glm.PredictionServiceClient(transport=transport))
            return [_answer(partial(client.predict, predict_request("a cat"), **options)) for _ in asks]
        model = generativeai().GenerativeModel(MODEL)
        transport = transport_of("generative_service", channel, asynchronous=False)
        model._client = glm.GenerativeServiceClient(transport=transport)
        guarded = guard(model)
        return [_answer(partial(_use, guarded, ask, options)) for ask in asks]


def _grpc_async(address: Address, asks: Iterable[Ask], timeout: float, guard: Guard) -> list[Any]:
    async def use() -> list[Any]:
        glm = protocol()
        options = {"retry": None, "timeout": timeout}
        for_pictures, every = _first(asks)
        async with grpc_channel(address, asynchronous=True) as channel:
            if for_pictures:
                transport = transport_of("prediction_service", channel, asynchronous=True)
                client = guard(glm.PredictionServiceAsyncClient(transport=transport))
                call = partial(client.predict, predict_request("a cat"), **options)
                return [await _answer_async(call) for _ in every]
            model = generativeai().GenerativeModel(MODEL)
            transport = transport_of("generative_service", channel, asynchronous=True)
            model._async_client = glm.GenerativeServiceAsyncClient(transport=transport)
            guarded = guard(model)
            return [await _answer_async(partial(_use_async, guarded, ask, options)) for ask in every]

    return asyncio.run(use())


GENAI_WAYS = [
    Way("genai-sync", "genai", _genai),
    Way("genai-async", "genai", _genai_async("httpx")),
    *([Way("genai-aiohttp", "aiohttp", _genai_async("aiohttp"))] if HAS_AIOHTTP else []),
]
GENERATIVEAI_WAYS = [
    Way("generativeai-rest", "rest", _rest),
    Way("generativeai-grpc", "grpc", _grpc),
    Way("generativeai-grpc-async", "grpc async", _grpc_async),
]
WAYS = [*(GENAI_WAYS if HAS_GENAI else []), *(GENERATIVEAI_WAYS if HAS_GENERATIVEAI else [])]
