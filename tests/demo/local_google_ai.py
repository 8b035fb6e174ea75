"""What tests of the demo's clients share: a local Google AI server, and a call to each of its services."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sharedbreaker.demo.google_ai_server import GoogleAiServer, GoogleAiService, draw_png

TEXT, VISION, IMAGEN = GoogleAiService

CALLS: dict[GoogleAiService, Callable[[Any], Any]] = {
    TEXT: lambda client: client.generate_text("Why?"),
    VISION: lambda client: client.describe_image("Topic?", draw_png("subject")),
    IMAGEN: lambda client: client.generate_image("a cat"),
}
"""By service: a call of a ``GoogleAiClient`` or a ``GenaiClient``."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleAiServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with GoogleAiServer() as started:
        yield started
