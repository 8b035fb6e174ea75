"""What the demo app is told through environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sharedbreaker.demo.sdk import Sdk
from sharedbreaker.demo.setup_error import DemoSetupError
from sharedbreaker.store.keys import DEFAULT_PREFIX

REDIS_URL = "SHAREDBREAKER_REDIS_URL"
PREFIX = "SHAREDBREAKER_DEMO_PREFIX"
GOOGLE_AI_URL = "SHAREDBREAKER_DEMO_GOOGLE_AI_URL"
API_KEY = "GOOGLE_API_KEY"
SDK = "SHAREDBREAKER_DEMO_SDK"
REDIS_SECONDS = 1.0
"""A demo may share its machine with much else; no worker should decide by itself because of that."""


@dataclass(frozen=True)
class AppEnvironment:
    """Where the app finds Redis and Google AI. The breakers read settings of their own beside it."""

    redis_url: str | None
    """SHAREDBREAKER_REDIS_URL. None leaves it to the breakers: REDIS_URL, else localhost."""
    prefix: str
    """SHAREDBREAKER_DEMO_PREFIX: what the keys begin with. Default ``sharedbreaker``."""
    google_ai_url: str | None
    """SHAREDBREAKER_DEMO_GOOGLE_AI_URL: a local Google AI server. None: Google's own."""
    api_key: str
    """GOOGLE_API_KEY. A local Google AI server takes any, and needs none."""
    sdk: Sdk = Sdk.GENERATIVEAI
    """SHAREDBREAKER_DEMO_SDK: ``google-generativeai``, the default, or ``google-genai``."""

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> AppEnvironment:
        """Return what ``variables`` say; raise DemoSetupError where they name no Google AI or no SDK."""
        redis_url, prefix, google_ai_url, api_key = (
            variables.get(name, "").strip() for name in (REDIS_URL, PREFIX, GOOGLE_AI_URL, API_KEY)
        )
        if not google_ai_url and not api_key:
            raise DemoSetupError(
                f"the app does not know which Google AI to ask: set {GOOGLE_AI_URL} to the address of a "
                "local one (python -m sharedbreaker.demo.google_ai_server prints its own), "
                f"or {API_KEY} to ask Google's"
            )
        name = variables.get(SDK, "").strip() or Sdk.GENERATIVEAI.value
        try:
            sdk = Sdk(name)
        except ValueError:
            raise DemoSetupError(
                f"{SDK} must be one of {', '.join(known.value for known in Sdk)}, not {name!r}"
            ) from None
        return cls(
            redis_url or None, prefix or DEFAULT_PREFIX, google_ai_url or None, api_key or "local", sdk
        )

    @property
    def breaker_configuration(self) -> dict[str, Any]:
        """What ``initialize_circuit_breakers`` is to take from here."""
        return {"redis": {"url": self.redis_url, "prefix": self.prefix, "timeout": REDIS_SECONDS}}

    def variables(self) -> dict[str, str]:
        """Return the variables that ``read`` reads this from."""
        return {
            REDIS_URL: self.redis_url or "",
            PREFIX: self.prefix,
            GOOGLE_AI_URL: self.google_ai_url or "",
            API_KEY: self.api_key,
            SDK: self.sdk.value,
        }
