"""Streams of a guarded google-genai client: each is one call, from its first piece to its last."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest
from recorded import Record, until, until_settled
from sdk_servers import Servers
from sdk_servers import all_servers as all_servers
from sdk_servers import servers as servers
from ways import HAS_GENAI, MODEL, genai_client

from sharedbreaker import CircuitBreakerError
from sharedbreaker.demo.google_ai_server import Behaviour, Fault, GoogleAiService
from sharedbreaker.integrations.google_genai import guard

if not HAS_GENAI:
    pytest.skip("google-genai is not installed", allow_module_level=True)

from google import genai

ASK = {"model": MODEL, "contents": "hi"}


@pytest.fixture
def record() -> Record:
    return Record()


@pytest.fixture
def client(servers: Servers, record: Record) -> Iterator[genai.Client]:
    with genai_client(servers.address, 10) as made:
        yield guard(made, **record.breakers())


def test_a_stream_is_one_call(client: genai.Client, record: Record) -> None:
    """It is admitted at its first piece and a success after its last."""
    stream = client.models.generate_content_stream(**ASK)
    assert record.in_flight == 0
    pieces = [next(stream)]
    assert record.in_flight == 1
    assert record.lines == []
    pieces += list(stream)

    assert "".join(piece.text or "" for piece in pieces) == "You asked: hi"
    assert record.lines == ["text: success"]
    assert list(stream) == []


def test_a_stream_that_nobody_starts_takes_nothing(
    client: genai.Client, servers: Servers, record: Record
) -> None:
    """Neither the breaker nor the service hears of it, closed or not."""
    stream: Any = client.models.generate_content_stream(**ASK)
    stream.close()
    assert list(stream) == []
    client.models.generate_content_stream(**ASK)

    assert record.lines == []
    assert servers.rest.books(GoogleAiService.TEXT).answered == {}


def test_an_error_in_the_middle_is_the_outcome(
    client: genai.Client, servers: Servers, record: Record
) -> None:
    """An error after the first piece is the call's."""
    servers.behave(Behaviour(fault=Fault.ERROR_MID_STREAM))
    stream = client.models.generate_content_stream(**ASK)
    assert next(stream).text
    with pytest.raises(genai.errors.ServerError):
        next(stream)

    assert record.lines == ["text: failure"]
    assert list(stream) == []


def test_a_consumer_who_stops_early_is_not_counted(client: genai.Client, record: Record) -> None:
    """A closed stream is released; a dropped one when it is collected."""
    closed: Any = client.models.generate_content_stream(**ASK)
    next(closed)
    closed.close()
    assert record.lines == ["text: released"]
    dropped = client.models.generate_content_stream(**ASK)
    next(dropped)
    del dropped
    gc.collect()
    until_settled(record)

    assert record.lines == ["text: released"] * 2


def test_a_copy_of_a_stream_in_a_forked_process_is_not_released(
    client: genai.Client, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is its parent's, which is still reading."""
    stream = client.models.generate_content_stream(**ASK)
    next(stream)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    del stream
    gc.collect()
    monkeypatch.undo()
    dropped = client.models.generate_content_stream(**ASK)
    next(dropped)
    del dropped
    gc.collect()
    until_settled(record, in_flight=1)

    assert record.lines == ["text: released"]


def test_an_open_circuit_rejects_the_first_piece(client: genai.Client, record: Record) -> None:
    """The rejection comes where the request would have gone out."""
    record.is_open = True
    stream = client.models.generate_content_stream(**ASK)
    with pytest.raises(CircuitBreakerError):
        next(stream)

    assert list(stream) == []
    assert record.lines == ["text: rejected"]


def test_a_chat_that_is_left_is_released(client: genai.Client, record: Record) -> None:
    """The stream of a chat, a generator of the SDK's around the guarded one, gives it back as well."""
    stream: Any = client.chats.create(model=MODEL).send_message_stream("hi")
    next(stream)
    stream.close()
    gc.collect()
    until_settled(record)

    assert record.lines == ["text: released"]


def test_async_streams_keep_the_same_rules(servers: Servers, record: Record) -> None:
    """Exhausted, closed, dropped, never started, broken off and rejected."""

    async def main() -> None:
        async with guard(genai_client(servers.address, 10), **record.breakers()).aio as aio:
            start = aio.models.generate_content_stream
            pieces = [piece async for piece in await start(**ASK)]
            assert "".join(piece.text or "" for piece in pieces) == "You asked: hi"
            chat = aio.chats.create(model=MODEL)
            assert [piece async for piece in await chat.send_message_stream("hi")]
            assert record.lines == ["text: success"] * 2

            closed: Any = await start(**ASK)
            await anext(closed)
            await closed.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(closed)
            dropped = await start(**ASK)
            await anext(dropped)
            del dropped
            gc.collect()
            await until(lambda: record.in_flight == 0)
            assert record.lines[2:] == ["text: released"] * 2

            before = servers.rest.books(GoogleAiService.TEXT).answered
            await start(**ASK)
            assert servers.rest.books(GoogleAiService.TEXT).answered == before
            servers.behave(Behaviour(fault=Fault.ERROR_MID_STREAM))
            broken = await start(**ASK)
            await anext(broken)
            with pytest.raises(genai.errors.ServerError):
                await anext(broken)
            record.is_open = True
            with pytest.raises(CircuitBreakerError):
                await anext(await start(**ASK))
            assert record.lines[4:] == ["text: failure", "text: rejected"]

    asyncio.run(main())


def test_cancelling_a_stream_releases_it(servers: Servers, record: Record) -> None:
    """A client that goes away while a piece is awaited leaves nothing in flight."""
    servers.behave(Behaviour(fault=Fault.HANG))

    async def main() -> None:
        async with guard(genai_client(servers.address, 10), **record.breakers()).aio as aio:
            stream = await aio.models.generate_content_stream(**ASK)
            piece = asyncio.ensure_future(anext(stream))
            await until(lambda: servers.rest.books(GoogleAiService.TEXT).in_flight > 0)
            piece.cancel()
            with pytest.raises(asyncio.CancelledError):
                await piece

    asyncio.run(main())
    assert record.lines == ["text: released"]
