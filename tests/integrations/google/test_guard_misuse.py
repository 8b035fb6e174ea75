"""What a guard refuses, and says why."""

from __future__ import annotations

from typing import Any

import pytest
from recorded import Record
from sdk_servers import Servers
from sdk_servers import all_servers as all_servers
from sdk_servers import servers as servers
from ways import HAS_GENAI, HAS_GENERATIVEAI, MODEL, genai_client, generativeai

from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker
from sharedbreaker.integrations import google_genai, google_generativeai

GUARDS = [google_genai.guard, google_generativeai.guard]


@pytest.mark.parametrize("guard", GUARDS)
def test_what_is_no_client_is_refused(guard: Any) -> None:
    """A guard of the wrong SDK, or of anything else, is a mistake that is told at once."""
    with pytest.raises(TypeError, match=r"guard takes a google\."):
        guard(object())


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("breaker", ["a name", object(), CircuitBreaker, (1, 2)])
def test_what_is_no_breaker_is_refused(guard: Any, breaker: Any) -> None:
    """A role takes breakers, and says what it got."""
    with pytest.raises(TypeError, match="vision must be a CircuitBreaker"):
        guard(object(), vision=breaker)


@pytest.mark.parametrize("guard", GUARDS)
def test_two_of_a_kind_are_refused(guard: Any) -> None:
    """A pair is one of each kind."""
    for kind in (CircuitBreaker, AsyncCircuitBreaker):
        with pytest.raises(TypeError, match="one of each"):
            guard(object(), text=(kind(name="a"), kind(name="a")))


@pytest.mark.parametrize("guard", GUARDS)
def test_a_pair_guards_one_circuit(guard: Any) -> None:
    """Breakers of two circuits would each see half of the failures."""
    sync, asynchronous = CircuitBreaker(name="text"), AsyncCircuitBreaker(name="vision")
    with pytest.raises(TypeError, match="two circuits, 'text' and 'vision'"):
        guard(object(), text=(sync, asynchronous))


if HAS_GENAI:

    def test_a_kind_that_is_missing_is_told_of_where_it_is_needed(servers: Servers) -> None:
        """A sync breaker alone serves the client and not its aio; an async one the other way round."""
        sync, asynchronous = CircuitBreaker(name="text"), AsyncCircuitBreaker(name="text")
        with genai_client(servers.address, 10) as client:
            assert google_genai.guard(client, text=(asynchronous, sync)).models
            guarded = google_genai.guard(client, text=sync)
            assert guarded.models
            assert guarded.aio.files
            with pytest.raises(TypeError, match=r"text=\(breaker, async_breaker\)"):
                _ = guarded.aio.models
            with pytest.raises(TypeError, match="block the event loop"):
                _ = guarded.aio.chats
            guarded = google_genai.guard(client, text=asynchronous)
            assert guarded.aio.models
            with pytest.raises(TypeError, match="only an AsyncCircuitBreaker for text"):
                _ = guarded.models
            assert google_genai.guard(client.aio, text=asynchronous).models

    def test_a_guarded_client_is_not_guarded_again(servers: Servers) -> None:
        """Its calls would count twice."""
        with genai_client(servers.address, 10) as client:
            guarded = google_genai.guard(client, **Record().breakers())
            for twice in (guarded, guarded.aio):
                with pytest.raises(TypeError, match="guarded already"):
                    google_genai.guard(twice, **Record().breakers())

    def test_without_breakers_a_client_is_what_it_was(servers: Servers) -> None:
        """Where breakers are not enabled the getters return None, and a guard changes nothing."""
        with genai_client(servers.address, 10) as client:
            assert google_genai.guard(client, text=None, vision=None, imagen=None) is client

    def test_a_service_without_breaker_is_not_guarded(servers: Servers) -> None:
        """Each of the three may be left out."""
        record = Record()
        with genai_client(servers.address, 10) as client:
            guarded = google_genai.guard(client, imagen=record.breakers()["imagen"])
            guarded.models.generate_content(model=MODEL, contents="hi")
            list(guarded.models.generate_content_stream(model=MODEL, contents="hi"))
            guarded.models.generate_content(model=f"{MODEL}-image", contents="hi")

        assert record.lines == ["imagen: success"]


if HAS_GENERATIVEAI:

    def test_a_model_needs_the_breaker_of_the_call(servers: Servers) -> None:
        """A call whose breaker is of the other kind only raises TypeError."""
        asynchronous = AsyncCircuitBreaker(name="text")
        model = google_generativeai.guard(generativeai().GenerativeModel(MODEL), text=asynchronous)
        with pytest.raises(TypeError, match="only an AsyncCircuitBreaker for text"):
            model.generate_content("hi")
        with pytest.raises(TypeError, match="guarded already"):
            google_generativeai.guard(model, text=asynchronous)
        unguarded = generativeai().GenerativeModel(MODEL)
        assert google_generativeai.guard(unguarded) is unguarded
