"""Streams of a guarded google-generativeai model: each is one call, to its last piece."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from guarded_models import PNG, in_loop
from guarded_models import model as model
from guarded_models import record as record
from guarded_models import unguarded as unguarded
from recorded import Record, until, until_settled
from sdk_servers import Servers
from sdk_servers import all_servers as all_servers
from sdk_servers import servers as servers
from ways import (
    HAS_GENERATIVEAI,
    generativeai,
)

from sharedbreaker import CircuitBreakerError
from sharedbreaker.demo.google_ai_server import Behaviour, Content, Fault

if not HAS_GENERATIVEAI:
    pytest.skip("google-generativeai is not installed", allow_module_level=True)

from google.api_core import exceptions

# The SDK leaves the connection of a stream that was not read to its end to the garbage collector.
left_open = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def test_a_stream_is_one_call(model: Any, record: Record) -> None:
    """It is in flight from the call, which sends the request, to the last piece."""
    stream = model.generate_content("hi", stream=True)
    assert record.in_flight == 1
    assert "".join(piece.text for piece in stream) == "You asked: hi"
    assert record.lines == ["text: success"]

    resolved = model.generate_content("hi", stream=True)
    resolved.resolve()
    assert resolved.text == "You asked: hi"
    assert record.lines == ["text: success"] * 2


@left_open
def test_a_stream_that_is_dropped_is_released(model: Any, record: Record) -> None:
    """A response that nobody reads to its end gives its call back when it is collected."""
    stream = model.generate_content("hi", stream=True)
    next(iter(stream))
    del stream
    gc.collect()
    until_settled(record)

    assert record.lines == ["text: released"]


@left_open
def test_a_stream_that_is_blocked_is_answered(model: Any, servers: Servers, record: Record) -> None:
    """The answer is known before anybody reads it."""
    servers.behave(Behaviour(content=Content.BLOCKED_PROMPT))
    stream = model.generate_content("hi", stream=True)
    assert record.lines == ["text: success"]
    with pytest.raises(generativeai().types.BlockedPromptException):
        list(stream)

    assert record.lines == ["text: success"]
    del stream
    gc.collect()


def test_an_error_in_the_middle_is_the_outcome(model: Any, servers: Servers, record: Record) -> None:
    """A connection that is reset between two pieces is the call's end."""
    servers.behave(Behaviour(fault=Fault.RESET_MID_ANSWER))
    with pytest.raises((exceptions.ServiceUnavailable, OSError)):
        list(model.generate_content("hi", stream=True))

    assert record.lines == ["text: failure"]


def test_async_calls_keep_the_same_rules(servers: Servers, record: Record) -> None:
    """Whole, streamed, in a chat, dropped, blocked, failed and rejected."""

    async def use(model: Any) -> None:
        assert (await model.generate_content_async("hi")).text == "You asked: hi"
        assert (await model.generate_content_async([PNG, "what?"])).text.startswith("I see")
        stream = await model.generate_content_async("hi", stream=True)
        assert "".join([piece.text async for piece in stream]) == "You asked: hi"
        await model.start_chat().send_message_async("hi")
        assert record.lines == ["text: success", "vision: success", "text: success", "text: success"]

        stream = await model.generate_content_async("hi", stream=True)
        await anext(aiter(stream))
        del stream
        gc.collect()
        await until(lambda: record.in_flight == 0)
        assert record.lines[4:] == ["text: released"]

        servers.behave(Behaviour(content=Content.BLOCKED_PROMPT))
        await model.generate_content_async("hi", stream=True)
        assert record.lines[5:] == ["text: success"]
        servers.behave(Behaviour(fault=Fault.ERROR_MID_STREAM))
        with pytest.raises(exceptions.ServiceUnavailable):
            [piece async for piece in await model.generate_content_async("hi", stream=True)]
        servers.behave(Behaviour(status=503))
        with pytest.raises(exceptions.ServiceUnavailable):
            await model.generate_content_async("hi")
        record.is_open = True
        with pytest.raises(CircuitBreakerError):
            await model.generate_content_async("hi")
        assert record.lines[6:] == ["text: failure", "text: failure", "text: rejected"]

    in_loop(servers, record, use)
