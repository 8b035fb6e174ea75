"""A guarded google-genai client: the SDK's own client, whose calls go through the right breakers."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from recorded import Record, until
from sdk_servers import Servers
from sdk_servers import all_servers as all_servers
from sdk_servers import servers as servers
from ways import HAS_AIOHTTP, HAS_GENAI, IMAGEN_MODEL, MODEL, genai_client

from sharedbreaker import CircuitBreakerError
from sharedbreaker.demo.google_ai_server import Behaviour, Fault, GoogleAiService, Quota, draw_png
from sharedbreaker.integrations.google_genai import METHODS, guard

if not HAS_GENAI:
    pytest.skip("google-genai is not installed", allow_module_level=True)

from google import genai
from google.genai import types
from google.genai.models import AsyncModels, Models

pytestmark = [pytest.mark.filterwarnings("ignore:The generate_images method is deprecated")]

PNG = draw_png("subject")
TRANSPORTS = ["httpx", *(["aiohttp"] if HAS_AIOHTTP else [])]


@pytest.fixture
def record() -> Record:
    return Record()


@pytest.fixture
def client(servers: Servers, record: Record) -> Iterator[genai.Client]:
    with genai_client(servers.address, 10) as made:
        yield guard(made, **record.breakers())


def test_it_is_a_client(client: genai.Client, servers: Servers) -> None:
    """Isinstance holds for the client and for what hangs on it, and all else is the original's."""
    with genai_client(servers.address, 10) as original:
        guarded = guard(original, **Record().breakers())

        assert isinstance(guarded, genai.Client)
        assert isinstance(guarded.models, Models)
        assert isinstance(guarded.aio.models, AsyncModels)
        assert type(guarded.chats) is type(original.chats)
        assert type(guarded).__name__ == "Client"
        assert guarded.files is original.files
        assert guarded.aio.files is original.aio.files
        assert guarded.vertexai == original.vertexai
        assert guarded.models.generate_content.__doc__ == original.models.generate_content.__doc__
        with guarded as entered:
            assert entered is guarded


def test_the_original_stays_as_it_is(servers: Servers, record: Record) -> None:
    """Guarding changes nothing about the client that is guarded."""
    with genai_client(servers.address, 10) as original:
        guard(original, **record.breakers())
        original.models.generate_content(model=MODEL, contents="hi")

    assert record.lines == []


def picture() -> types.Part:
    return types.Part.from_bytes(data=PNG, mime_type="image/png")


PROMPTS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "words": ("text", lambda models: models.generate_content(model=MODEL, contents="hi")),
    "a picture": (
        "vision",
        lambda models: models.generate_content(model=MODEL, contents=["what?", picture()]),
    ),
    "a picture from a generator": (
        "vision",
        lambda models: models.generate_content(model=MODEL, contents=(part for part in ["what?", picture()])),
    ),
    "a picture in a dict": (
        "vision",
        lambda models: models.generate_content(
            model=MODEL,
            contents={"parts": [{"text": "what?"}, {"inline_data": {"mime_type": "image/png", "data": PNG}}]},
            config={"temperature": 0.5},
        ),
    ),
    "a model that draws": (
        "imagen",
        lambda models: models.generate_content(
            model="models/gemini-2.5-flash-image",
            contents="a cat",
            config=types.GenerateContentConfig(seed=1),
        ),
    ),
}


@pytest.mark.parametrize(("role", "call"), PROMPTS.values(), ids=PROMPTS)
def test_a_call_goes_through_the_breaker_of_its_service(
    client: genai.Client, servers: Servers, record: Record, role: str, call: Callable[[Any], Any]
) -> None:
    """The guard and the server agree on which service a call is for."""
    assert call(client.models).candidates

    assert record.lines == [f"{role}: success"]
    assert servers.rest.books(GoogleAiService(role)).answered == {"200": 1}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("role", "call"), PROMPTS.values(), ids=PROMPTS)
def test_an_async_call_does_the_same(
    servers: Servers, record: Record, transport: str, role: str, call: Callable[[Any], Any]
) -> None:
    """`client.aio` is guarded by the async breakers, over either HTTP library."""

    async def main() -> None:
        client = guard(genai_client(servers.address, 10, transport=transport), **record.breakers())
        async with client.aio as aio:
            assert (await call(aio.models)).candidates

    asyncio.run(main())
    assert record.lines == [f"{role}: success"]
    assert servers.rest.books(GoogleAiService(role)).answered == {"200": 1}


def test_imagen_is_guarded(servers: Servers, record: Record) -> None:
    """generate_images goes through Imagen's breaker, sync and async; its async method hides that it is."""

    async def main() -> None:
        client = guard(genai_client(servers.address, 10, vertexai=True), **record.breakers())
        client.models.generate_images(model=IMAGEN_MODEL, prompt="a cat")
        async with client.aio as aio:
            images = await aio.models.generate_images(model=IMAGEN_MODEL, prompt="a cat")
            assert images.generated_images
        servers.behave(Behaviour(status=503))
        with pytest.raises(genai.errors.ServerError):
            client.models.generate_images(model=IMAGEN_MODEL, prompt="a cat")

    asyncio.run(main())
    assert record.lines == ["imagen: success", "imagen: success", "imagen: failure"]


def test_a_chat_is_guarded(client: genai.Client, record: Record) -> None:
    """Each message of a chat is a call; a picture in its history makes it one for vision."""
    chat = client.chats.create(model=MODEL)
    assert chat.send_message("hi").text == "You asked: hi"
    assert "".join(piece.text or "" for piece in chat.send_message_stream([picture(), "what?"])).startswith(
        "I see"
    )
    chat.send_message("and now?")

    assert record.lines == ["text: success", "vision: success", "vision: success"]


@pytest.mark.parametrize(
    "method", [name for name, route in METHODS.items() if route in {"by prompt", "imagen"}]
)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_open_circuit_lets_no_guarded_method_call(
    client: genai.Client, servers: Servers, record: Record, method: str, *, asynchronous: bool
) -> None:
    """A rejection is raised by every method that the table guards, and nothing is sent."""
    record.is_open = True
    name = method.removeprefix("models.")
    models = client.aio.models if asynchronous else client.models

    async def use(answer: Any) -> None:
        answer = await answer
        async for _ in answer:
            raise AssertionError

    with pytest.raises(CircuitBreakerError):  # noqa: PT012 - a stream is rejected when it is read
        answer = getattr(models, name)(model=MODEL, contents="hi")
        if asynchronous:
            asyncio.run(use(answer))
        else:
            next(answer)

    assert len(record.lines) == 1
    assert all(servers.rest.books(service).answered == {} for service in GoogleAiService)


def test_a_failure_says_how_long_to_stay_away(client: genai.Client, servers: Servers, record: Record) -> None:
    """What a 429 asks for reaches the breaker."""
    servers.behave(Behaviour(status=429, quota=Quota.PER_MINUTE, retry_after=22))
    with pytest.raises(genai.errors.ClientError):
        client.models.generate_content(model=MODEL, contents="hi")

    assert record.lines == ["text: failure"]
    assert record.retry_after == [22.0]


def test_a_wrong_request_is_ignored(client: genai.Client, servers: Servers, record: Record) -> None:
    """A bad request says nothing about the service, nor does a call with arguments that are wrong."""
    servers.behave(Behaviour(status=400))
    with pytest.raises(genai.errors.ClientError):
        client.models.generate_content(model=MODEL, contents="hi")
    with pytest.raises(TypeError):
        client.models.generate_content(model=MODEL, contents="hi", colour="red")

    assert record.lines == ["text: ignored", "text: ignored"]


@pytest.mark.parametrize("get", [lambda client: client.models, lambda client: client.chats])
def test_what_hangs_on_a_client_keeps_it_alive(servers: Servers, record: Record, get: Any) -> None:
    """The client may go: what was taken from its guard still works."""
    kept = get(guard(genai_client(servers.address, 10), **record.breakers()))
    gc.collect()
    if hasattr(kept, "create"):
        kept.create(model=MODEL).send_message("hi")
    else:
        kept.generate_content(model=MODEL, contents="hi")

    assert record.lines == ["text: success"]


def test_a_cancelled_call_is_released(servers: Servers, record: Record) -> None:
    """A caller who goes says nothing about the service, and leaves nothing in flight."""
    servers.behave(Behaviour(fault=Fault.HANG))

    async def main() -> None:
        async with guard(genai_client(servers.address, 10), **record.breakers()).aio as aio:
            call = asyncio.ensure_future(aio.models.generate_content(model=MODEL, contents="hi"))
            await until(lambda: servers.rest.books(GoogleAiService.TEXT).in_flight > 0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    asyncio.run(main())
    assert record.lines == ["text: released"]
    assert record.in_flight == 0


def test_a_call_that_may_hang_for_ever_may_not(servers: Servers, record: Record) -> None:
    """Where neither client nor call has a timeout, the guard's holds."""
    servers.behave(Behaviour(fault=Fault.HANG))
    options = types.HttpOptions(base_url=servers.address.url)
    with guard(genai.Client(api_key="key", http_options=options), **record.breakers(), timeout=0.2) as client:
        configs: list[Any] = [None, {"seed": 1}, {"httpOptions": {}}, types.GenerateContentConfig(seed=1)]
        for config in configs:
            with pytest.raises(Exception, match="timed out"):
                client.models.generate_content(model=MODEL, contents="hi", config=config)

    assert record.lines == ["text: failure"] * 4


@pytest.mark.parametrize("where", ["client", "call"])
def test_a_timeout_that_is_set_stays(servers: Servers, record: Record, where: str) -> None:
    """The guard's timeout takes nothing from one that was chosen."""
    servers.behave(Behaviour(fault=Fault.HANG))
    chosen = {"timeout": 200}
    options = types.HttpOptions(base_url=servers.address.url, **(chosen if where == "client" else {}))
    config = (
        types.GenerateContentConfig(http_options=types.HttpOptions(**chosen)) if where == "call" else None
    )
    with guard(genai.Client(api_key="key", http_options=options), **record.breakers(), timeout=100) as client:  # noqa: SIM117
        with pytest.raises(Exception, match="timed out"):
            client.models.generate_content(model=MODEL, contents="hi", config=config)
    if config is not None:
        assert config.http_options == types.HttpOptions(**chosen)


if HAS_AIOHTTP:

    def test_aiohttp_tries_nothing_again_in_secret(
        servers: Servers, record: Record, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a word about retries the SDK would sleep for up to ten seconds, and try once more."""
        servers.behave(Behaviour(fault=Fault.CUT))
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        async def main() -> None:
            options = types.HttpOptions(base_url=servers.address.url, timeout=5000)
            async with guard(
                genai.Client(api_key="key", http_options=options), **record.breakers()
            ).aio as aio:
                monkeypatch.setattr(asyncio, "sleep", sleep)
                with pytest.raises(OSError, match="reset"):
                    await aio.models.generate_content(model=MODEL, contents="hi")
                monkeypatch.undo()

        asyncio.run(main())
        assert [seconds for seconds in slept if seconds >= 1] == []
        assert record.lines == ["text: failure"]
        assert servers.rest.books(GoogleAiService.TEXT).answered == {"cut": 1}


def test_retries_are_off_unless_they_are_on(servers: Servers, record: Record) -> None:
    """A call is made once; retries that the user has set are kept, and count as one call."""
    servers.behave(Behaviour(status=503))
    retries = types.HttpRetryOptions(attempts=2, initial_delay=0.01, max_delay=0.01)
    for options, requests in ((None, 1), (retries, 2)):
        servers.rest.reset_books()
        http_options = types.HttpOptions(base_url=servers.address.url, timeout=5000, retry_options=options)
        with guard(genai.Client(api_key="key", http_options=http_options), **record.breakers()) as client:  # noqa: SIM117
            with pytest.raises(genai.errors.ServerError):
                client.models.generate_content(model=MODEL, contents="hi")
        assert servers.rest.books(GoogleAiService.TEXT).answered == {"503": requests}

    assert record.lines == ["text: failure"] * 2
