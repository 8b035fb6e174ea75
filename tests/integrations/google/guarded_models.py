"""Models of google-generativeai that talk to the local server, with and without a guard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from recorded import Record
from sdk_servers import Servers
from ways import MODEL, generativeai, grpc_channel, protocol, rest_client, transport_of

from sharedbreaker.demo.google_ai_server import draw_png
from sharedbreaker.integrations.google_generativeai import guard

PNG = {"mime_type": "image/png", "data": draw_png("subject")}


@pytest.fixture
def record() -> Record:
    return Record()


@contextmanager
def over_rest(servers: Servers, name: str = MODEL) -> Iterator[Any]:
    model = generativeai().GenerativeModel(name)
    model._client = rest_client(protocol().GenerativeServiceClient, servers.address)
    yield model


@contextmanager
def over_grpc(servers: Servers, name: str = MODEL) -> Iterator[Any]:
    with grpc_channel(servers.address, asynchronous=False) as channel:
        model = generativeai().GenerativeModel(name)
        transport = transport_of("generative_service", channel, asynchronous=False)
        model._client = protocol().GenerativeServiceClient(transport=transport)
        yield model


@pytest.fixture(params=[over_rest, over_grpc], ids=["rest", "grpc"])
def unguarded(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Any]:
    with request.param(servers) as model:
        yield model


@pytest.fixture
def model(unguarded: Any, record: Record) -> Any:
    return guard(unguarded, **record.breakers())


def in_loop(servers: Servers, record: Record, use: Callable[[Any], Any]) -> None:
    async def main() -> None:
        async with grpc_channel(servers.address, asynchronous=True) as channel:
            model = generativeai().GenerativeModel(MODEL)
            transport = transport_of("generative_service", channel, asynchronous=True)
            model._async_client = protocol().GenerativeServiceAsyncClient(transport=transport)
            await use(guard(model, **record.breakers()))

    asyncio.run(main())
