"""Case SB-074: calls that hang take no more than a probe's place for a while, and count once they end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from case_google import (
    PATIENCE_SECONDS,
    GoogleCircuits,
    needs_genai,
    needs_generativeai,
    of_google,
    raised_by,
    until,
)
from case_google import all_servers as all_servers
from case_google import circuits as circuits
from case_google import servers as servers
from ways import (
    HAS_GENAI,
    HAS_GENERATIVEAI,
    MODEL,
    genai_client,
    generativeai,
    grpc_channel,
    protocol,
    rest_client,
    transport_of,
)

from sharedbreaker import CircuitBreakerError
from sharedbreaker.demo.google_ai_server import Behaviour, Fault, GoogleAiService
from sharedbreaker.integrations import google_genai, google_generativeai

pytestmark = of_google


@needs_genai
def test_sb074_probes_that_hang_take_one_worker_per_lease(circuits: GoogleCircuits) -> None:
    """Twenty workers and a service that is silent: one of them hangs for each lease, and the others go on.

    A probe whose lease ran out is tallied as lost, and when it ends after all it counts for nothing.
    """
    circuits.pairs = circuits.new_pairs(probe_timeout=1, half_open_max_calls=1)
    circuit = circuits.trip_and_wait()
    rest = circuits.servers.rest
    rest.behave(GoogleAiService.TEXT, Behaviour(fault=Fault.HANG))
    ends: list[str] = []

    def work(guarded: Any) -> None:
        try:
            guarded.models.generate_content(model=MODEL, contents="hi")
        except CircuitBreakerError:
            ends.append("rejected")
        else:
            ends.append("answered")

    def has(rejected: int, hanging: int) -> bool:
        return (ends.count("rejected"), rest.books(GoogleAiService.TEXT).in_flight) == (rejected, hanging)

    with genai_client(circuits.servers.address, 30) as client:
        guarded = google_genai.guard(client, **circuits.pairs)
        threads = []
        for lease in (1, 2, 3):
            together = [threading.Thread(target=work, args=(guarded,), daemon=True) for _ in range(20)]
            threads += together
            for thread in together:
                thread.start()
            until(
                partial(has, rejected=19 * lease, hanging=lease),
                "one more hangs, and the others are rejected",
            )
            circuit.elapse(1000)
        assert circuit.field("state") == "half_open"
        rest.heal(GoogleAiService.TEXT)
        for thread in threads:
            thread.join(PATIENCE_SECONDS)

    assert ends.count("answered") == 3
    assert circuit.field("state") == "half_open"
    assert circuit.transitions() == {"closed_to_open": 1, "open_to_half_open": 1}
    assert circuit.numbers("lost_calls", "successful_calls") == {"lost_calls": 3, "successful_calls": 0}


@contextmanager
def genai_with_its_own_timeout(circuits: GoogleCircuits) -> Iterator[Callable[[], Any]]:
    with genai_client(circuits.servers.address, 1) as client:
        client._api_client._http_options.timeout = None
        guarded = google_genai.guard(client, timeout=0.05, **circuits.pairs)
        yield lambda: guarded.models.generate_content(model=MODEL, contents="hi")


@contextmanager
def rest_with_its_own_timeout(circuits: GoogleCircuits) -> Iterator[Callable[[], Any]]:
    model = generativeai().GenerativeModel(MODEL)
    model._client = rest_client(protocol().GenerativeServiceClient, circuits.servers.address)
    guarded = google_generativeai.guard(model, timeout=0.05, **circuits.pairs)
    yield lambda: guarded.generate_content("hi")


@contextmanager
def grpc_with_its_own_timeout(circuits: GoogleCircuits) -> Iterator[Callable[[], Any]]:
    with grpc_channel(circuits.servers.address, asynchronous=False) as channel:
        model = generativeai().GenerativeModel(MODEL)
        transport = transport_of("generative_service", channel, asynchronous=False)
        model._client = protocol().GenerativeServiceClient(transport=transport)
        guarded = google_generativeai.guard(model, timeout=0.05, **circuits.pairs)
        yield lambda: guarded.generate_content("hi")


HURRIED = [
    *([genai_with_its_own_timeout] if HAS_GENAI else []),
    *([rest_with_its_own_timeout, grpc_with_its_own_timeout] if HAS_GENERATIVEAI else []),
]


@pytest.mark.parametrize("hurried", HURRIED)
def test_sb074_a_guard_ends_a_probe_that_hangs(circuits: GoogleCircuits, hurried: Any) -> None:
    """Where nobody set a timeout the guard's own ends the call: the probe failed, and the circuit opens."""
    circuit = circuits.trip_and_wait()
    circuits.servers.behave(Behaviour(fault=Fault.HANG))
    with hurried(circuits) as ask:
        error = raised_by(ask)

    assert not isinstance(error, CircuitBreakerError)
    assert circuit.field("state") == "open"
    assert circuit.transitions()["half_open_to_open"] == 1


@needs_generativeai
def test_sb074_giving_up_after_retries_is_a_failure(circuits: GoogleCircuits) -> None:
    """google.api_core's RetryError counts as what it gave up on."""
    from google.api_core import exceptions, retry

    circuits.servers.behave(Behaviour(status=503))
    patient = retry.Retry(
        predicate=retry.if_exception_type(exceptions.ServiceUnavailable),
        initial=0.001,
        maximum=0.002,
        timeout=0.02,
    )
    model = generativeai().GenerativeModel(MODEL)
    model._client = rest_client(protocol().GenerativeServiceClient, circuits.servers.address)
    guarded = google_generativeai.guard(model, **circuits.pairs)
    error = raised_by(
        lambda: guarded.generate_content("hi", request_options={"retry": patient, "timeout": 5})
    )

    assert type(error) is exceptions.RetryError
    assert circuits.circuit().number("failed_calls") == 1
