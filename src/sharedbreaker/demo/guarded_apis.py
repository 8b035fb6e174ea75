"""The three services that the demo calls, each with the circuit that guards it and the load that it gets."""

from __future__ import annotations

from dataclasses import dataclass

from sharedbreaker.demo.google_ai_server import Behaviour, GoogleAiService
from sharedbreaker.google_ai import IMAGEN as IMAGEN_KEY
from sharedbreaker.google_ai import TEXT_GENERATION as TEXT_GENERATION_KEY
from sharedbreaker.google_ai import VISION as VISION_KEY


@dataclass(frozen=True)
class GuardedApi:
    """One service of Google AI as the demo sees it."""

    key: str
    """Its name in ``get_all_breakers`` and in the demo's JSON."""
    title: str
    circuit: str
    """The name of its circuit in Redis."""
    upstream: GoogleAiService
    paths: tuple[str, ...]
    """The app's endpoints that call it."""
    clients: int
    """How many clients ask for it at once."""
    pause: float
    """Seconds that a client waits between two calls."""
    delay: float
    """Seconds that the healthy upstream takes to answer."""

    @property
    def healthy(self) -> Behaviour:
        """How its upstream behaves while all is well."""
        return Behaviour(delay=self.delay)

    @property
    def failing(self) -> Behaviour:
        """How its upstream behaves in an outage."""
        return Behaviour(status=503, delay=self.delay / 2)


TEXT_GENERATION = GuardedApi(
    key=TEXT_GENERATION_KEY,
    title="text generation",
    circuit="google_ai_text_generation",
    upstream=GoogleAiService.TEXT,
    paths=("/api/subtopics", "/api/explanation"),
    clients=3,
    pause=0.1,
    delay=0.02,
)
VISION = GuardedApi(
    key=VISION_KEY,
    title="vision",
    circuit="google_ai_vision",
    upstream=GoogleAiService.VISION,
    paths=("/api/image2topic",),
    clients=6,
    pause=0.1,
    delay=0.08,
)
IMAGEN = GuardedApi(
    key=IMAGEN_KEY,
    title="Imagen",
    circuit="google_ai_imagen",
    upstream=GoogleAiService.IMAGEN,
    paths=("/api/generate_image",),
    clients=3,
    pause=0.15,
    delay=0.1,
)
GUARDED_APIS = (TEXT_GENERATION, VISION, IMAGEN)
