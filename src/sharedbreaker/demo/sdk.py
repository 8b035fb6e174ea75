"""The two SDKs of Google's that the demo's app can be made of."""

from __future__ import annotations

from enum import Enum


class Sdk(str, Enum):
    """An SDK, by the name of its package."""

    GENERATIVEAI = "google-generativeai"
    GENAI = "google-genai"

    @property
    def module(self) -> str:
        """What is imported of it."""
        return "google.generativeai" if self is Sdk.GENERATIVEAI else "google.genai"
