"""Errors of the caller's own code, and those that only look like Google's, are not counted against Google."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from own_errors import OWN_ERRORS, OwnError
from sdk_servers import Servers
from sdk_servers import all_servers as all_servers
from sdk_servers import servers as servers
from ways import HAS_GENAI, HAS_GENERATIVEAI, WAYS, Ask, Way, genai_client

from sharedbreaker import CircuitBreakerError, CircuitState
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.demo.google_ai_server import Behaviour, Fault
from sharedbreaker.google_errors import outcome_of, retry_after_of


def error_of(function: Callable[[], Any]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whatever it is
        function()
    return caught.value


@pytest.mark.parametrize("own", OWN_ERRORS, ids=lambda own: own.title)
def test_errors_of_ones_own_are_ignored(own: OwnError) -> None:
    """The same classes that an SDK raises say nothing about Google where no SDK raised them."""
    error = error_of(own.function)

    assert type(error).__name__ == own.raised
    assert outcome_of(error) is own.outcome


def test_leaving_is_a_release() -> None:
    """A process or a task that ends says nothing about anybody."""
    for kind in (KeyboardInterrupt, GeneratorExit, SystemExit, asyncio.CancelledError):
        assert outcome_of(kind()) is Outcome.RELEASED


def test_a_rejection_within_a_call_is_ignored() -> None:
    """A call that was rejected by another breaker was not made."""
    assert outcome_of(CircuitBreakerError("x", CircuitState.OPEN, 1, "open")) is Outcome.IGNORED


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_an_error_of_ones_own_that_was_raised_from_googles_counts(servers: Servers, way: Way) -> None:
    """Whoever wraps an SDK's error in one of their own is still understood."""

    def ask() -> None:
        try:
            way.call(servers.address, Ask.WHOLE, 10)
        except Exception as error:
            raise RuntimeError("no topic today") from error

    servers.behave(Behaviour(status=503, retry_after=7))
    error = error_of(ask)
    assert outcome_of(error) is Outcome.FAILURE
    assert retry_after_of(error) == 7
    servers.behave(Behaviour(status=400))
    assert outcome_of(error_of(ask)) is Outcome.IGNORED


@pytest.mark.parametrize("way", [way for way in WAYS if "async" in way.name], ids=lambda way: way.name)
def test_a_deadline_of_ones_own_around_a_call_counts(servers: Servers, way: Way) -> None:
    """`asyncio.wait_for` ends a call that hangs: its TimeoutError came from within the SDK."""
    servers.behave(Behaviour(fault=Fault.HANG))
    to_wait_for = asyncio.run

    def run(coroutine: Any) -> Any:
        async def bounded() -> Any:
            return await asyncio.wait_for(coroutine, 0.3)

        return to_wait_for(bounded())

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(asyncio, "run", run)
        error = error_of(lambda: way.call(servers.address, Ask.WHOLE, 10))

    assert isinstance(error, asyncio.TimeoutError)
    assert outcome_of(error) is Outcome.FAILURE


if HAS_GENAI:

    def test_an_error_out_of_a_queue_is_judged_the_same(servers: Servers) -> None:
        """An error that was pickled has lost its traceback and may have lost its class."""
        from google.genai import errors

        servers.behave(Behaviour(status=503))
        with genai_client(servers.address, 10) as client, pytest.raises(errors.ServerError) as caught:
            client.models.generate_content(model="m", contents="hi")
        caught.value.response = None

        assert outcome_of(pickle.loads(pickle.dumps(caught.value))) is Outcome.FAILURE  # noqa: S301


if HAS_GENERATIVEAI:

    def test_an_error_of_another_service_of_googles_is_ignored() -> None:
        """Cloud Storage raises the same exceptions, and is not Gemini."""
        from google.api_core import exceptions

        names: dict[str, Any] = {"__name__": "google.cloud.storage.blob", "exceptions": exceptions}
        exec("def download(): raise exceptions.ServiceUnavailable('x')", names)  # noqa: S102

        assert outcome_of(error_of(names["download"])) is Outcome.IGNORED

    def test_a_local_deadline_of_retries_is_judged_by_what_it_gave_up_on() -> None:
        """A RetryError is as its cause is."""
        from google.api_core import exceptions

        assert outcome_of(exceptions.RetryError("x", exceptions.ServiceUnavailable("y"))) is Outcome.FAILURE
        assert outcome_of(exceptions.RetryError("x", exceptions.NotFound("y"))) is Outcome.IGNORED
