"""A guarded google-generativeai model: the SDK's own model, whose calls go through the right breakers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from guarded_models import PNG, in_loop, over_rest
from guarded_models import model as model
from guarded_models import record as record
from guarded_models import unguarded as unguarded
from recorded import Record, until
from sdk_servers import Servers
from sdk_servers import all_servers as all_servers
from sdk_servers import servers as servers
from ways import (
    HAS_GENERATIVEAI,
    MODEL,
    generativeai,
    grpc_channel,
    predict_request,
    protocol,
    rest_client,
    transport_of,
)

from sharedbreaker import CircuitBreakerError
from sharedbreaker.demo.google_ai_server import Behaviour, Content, Fault, GoogleAiService, Quota
from sharedbreaker.integrations.google_generativeai import guard

if not HAS_GENERATIVEAI:
    pytest.skip("google-generativeai is not installed", allow_module_level=True)

from google.api_core import exceptions, retry


def test_it_is_a_model(unguarded: Any, record: Record) -> None:
    """Isinstance holds, attributes are the original's, and the original is not guarded."""
    model = guard(unguarded, **record.breakers())

    assert isinstance(model, generativeai().GenerativeModel)
    assert model.model_name == f"models/{MODEL}"
    assert type(model).__name__ == "GenerativeModel"
    assert str(model) == str(unguarded)
    assert isinstance(model.start_chat(), generativeai().ChatSession)
    unguarded.generate_content("hi")
    assert record.lines == []


def test_a_prompt_goes_through_the_breaker_of_its_service(
    model: Any, servers: Servers, record: Record
) -> None:
    """Words are text, a picture is vision."""
    assert model.generate_content("hi").text == "You asked: hi"
    assert model.generate_content([PNG, "what?"]).text.startswith("I see")
    assert model.generate_content(part for part in [PNG, "what?"]).text.startswith("I see")

    assert record.lines == ["text: success", "vision: success", "vision: success"]


def test_a_model_that_draws_is_imagen(servers: Servers, record: Record) -> None:
    """Whatever the prompt, a model that generates images is Imagen's."""
    with over_rest(servers, "gemini-2.5-flash-image") as drawing:
        guard(drawing, **record.breakers()).generate_content([PNG, "a cat like this"])

    assert record.lines == ["imagen: success"]
    assert servers.rest.books(GoogleAiService.IMAGEN).answered == {"200": 1}


def test_predict_is_imagen(servers: Servers, record: Record) -> None:
    """A guarded PredictionServiceClient is one, and a picture filtered away is an answer."""
    original = rest_client(protocol().PredictionServiceClient, servers.address)
    client = guard(original, **record.breakers())
    assert isinstance(client, protocol().PredictionServiceClient)
    client.predict(predict_request("a cat"))
    servers.behave(Behaviour(content=Content.SAFETY))
    client.predict(predict_request("a cat"))
    servers.behave(Behaviour(status=503))
    with pytest.raises(exceptions.ServiceUnavailable):
        client.predict(predict_request("a cat"))

    assert record.lines == ["imagen: success", "imagen: success", "imagen: failure"]


def test_async_predict_is_imagen(servers: Servers, record: Record) -> None:
    """So is the async client."""

    async def main() -> None:
        async with grpc_channel(servers.address, asynchronous=True) as channel:
            transport = transport_of("prediction_service", channel, asynchronous=True)
            client = guard(protocol().PredictionServiceAsyncClient(transport=transport), **record.breakers())
            await client.predict(predict_request("a cat"))
            servers.behave(Behaviour(fault=Fault.HANG))
            client = guard(client._sharedbreaker_original, **record.breakers(), timeout=0.2)
            with pytest.raises(exceptions.DeadlineExceeded):
                await client.predict(predict_request("a cat"))

    asyncio.run(main())
    assert record.lines == ["imagen: success", "imagen: failure"]


def test_a_chat_is_guarded(model: Any, unguarded: Any, servers: Servers, record: Record) -> None:
    """A chat of a guarded model is, and so is a chat that is guarded itself."""
    chat = model.start_chat()
    chat.send_message("hi")
    chat.send_message([PNG, "what?"])
    assert [piece.text for piece in chat.send_message("and now?", stream=True)]
    assert record.lines == ["text: success", "vision: success", "vision: success"]

    original = unguarded.start_chat()
    other = guard(original, **record.breakers())
    other.send_message("hi")
    original.send_message("hi")
    assert record.lines[3:] == ["text: success"]
    assert isinstance(other, generativeai().ChatSession)
    assert other.history == original.history

    servers.behave(Behaviour(content=Content.BLOCKED_PROMPT))
    with pytest.raises(generativeai().types.BlockedPromptException):
        other.send_message("hi")
    assert record.lines[4:] == ["text: success"]


def test_an_open_circuit_lets_no_call_out(model: Any, servers: Servers, record: Record) -> None:
    """A rejection is raised, streaming or not, and nothing is sent."""
    record.is_open = True
    requests = servers.grpc.requests
    for stream in (False, True):
        with pytest.raises(CircuitBreakerError):
            model.generate_content("hi", stream=stream)

    assert record.lines == ["text: rejected"] * 2
    assert servers.rest.books(GoogleAiService.TEXT).answered == {}
    assert servers.grpc.requests == requests


@pytest.mark.parametrize("options", [None, {}, {"timeout": 5}, "RequestOptions"])
def test_a_call_is_made_once(model: Any, servers: Servers, record: Record, options: Any) -> None:
    """The SDK's retries, of ten minutes, are off, and what a 429 asks for reaches the breaker."""
    if options == "RequestOptions":
        options = generativeai().types.RequestOptions()
    servers.behave(Behaviour(status=503, retry_after=3))
    requests = servers.grpc.requests
    with pytest.raises(exceptions.ServiceUnavailable):
        model.generate_content("hi", request_options=options)
    assert (
        sum(servers.rest.books(GoogleAiService.TEXT).answered.values()) + servers.grpc.requests
        == requests + 1
    )
    servers.behave(Behaviour(status=429, quota=Quota.PER_MINUTE))
    with pytest.raises(exceptions.TooManyRequests):
        model.generate_content("hi", request_options=options)

    assert record.lines == ["text: failure"] * 2
    assert record.retry_after == [3.0, 60.0]


def test_retries_that_are_asked_for_are_one_call(model: Any, servers: Servers, record: Record) -> None:
    """A Retry of the user's is kept; its RetryError is judged by what it gave up on."""
    servers.behave(Behaviour(status=503))
    patience = retry.Retry(
        predicate=retry.if_exception_type(exceptions.ServiceUnavailable),
        initial=0.01,
        maximum=0.01,
        timeout=0.1,
    )
    with pytest.raises(exceptions.RetryError):
        model.generate_content("hi", request_options={"retry": patience, "timeout": 5})

    assert record.lines == ["text: failure"]


@pytest.mark.parametrize("options", [None, {"retry": None}, {"timeout": None}])
def test_a_call_that_may_hang_for_ever_may_not(
    unguarded: Any, servers: Servers, record: Record, options: Any
) -> None:
    """Where the call has no timeout, the guard's holds."""
    servers.behave(Behaviour(fault=Fault.HANG))
    model = guard(unguarded, **record.breakers(), timeout=0.2)
    with pytest.raises(Exception, match=r"timed out|504"):
        model.generate_content("hi", request_options=options)

    assert record.lines == ["text: failure"]


def test_a_timeout_that_is_set_stays(unguarded: Any, servers: Servers, record: Record) -> None:
    """The guard's timeout takes nothing from one that was chosen."""
    servers.behave(Behaviour(fault=Fault.HANG))
    options = {"timeout": 0.2}
    with pytest.raises(Exception, match=r"timed out|504"):
        guard(unguarded, **record.breakers(), timeout=100).generate_content("hi", request_options=options)

    assert options == {"timeout": 0.2}


def test_a_cancelled_call_is_released(servers: Servers, record: Record) -> None:
    """A caller who goes says nothing about the service."""
    servers.behave(Behaviour(fault=Fault.HANG))
    requests = servers.grpc.requests

    async def use(model: Any) -> None:
        call = asyncio.ensure_future(model.generate_content_async("hi"))
        await until(lambda: servers.grpc.requests > requests)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    in_loop(servers, record, use)
    assert record.lines == ["text: released"]
