"""Guarded streams, by each SDK and transport that has them in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from case_google import GoogleCircuits
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

from sharedbreaker.integrations import google_genai, google_generativeai

Start = Callable[[], Any]
"""Starts a stream, and gives it."""


@contextmanager
def genai_streams(circuits: GoogleCircuits) -> Iterator[Start]:
    with genai_client(circuits.servers.address, 10) as client:
        models = google_genai.guard(client, **circuits.pairs).models
        yield lambda: models.generate_content_stream(model=MODEL, contents="hi")


@contextmanager
def rest_streams(circuits: GoogleCircuits) -> Iterator[Start]:
    model = generativeai().GenerativeModel(MODEL)
    model._client = rest_client(protocol().GenerativeServiceClient, circuits.servers.address)
    guarded = google_generativeai.guard(model, **circuits.pairs)
    yield lambda: guarded.generate_content("hi", stream=True)


@contextmanager
def grpc_streams(circuits: GoogleCircuits) -> Iterator[Start]:
    with grpc_channel(circuits.servers.address, asynchronous=False) as channel:
        model = generativeai().GenerativeModel(MODEL)
        transport = transport_of("generative_service", channel, asynchronous=False)
        model._client = protocol().GenerativeServiceClient(transport=transport)
        guarded = google_generativeai.guard(model, **circuits.pairs)
        yield lambda: guarded.generate_content("hi", stream=True)


STREAMS = [
    *([genai_streams] if HAS_GENAI else []),
    *([rest_streams, grpc_streams] if HAS_GENERATIVEAI else []),
]
every_stream = pytest.mark.parametrize("streams", STREAMS)
