"""What the demo's endpoints ask and answer, whichever framework serves them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from sharedbreaker.circuit.errors import StoreError
from sharedbreaker.google_errors import is_google_service_failure

DEFAULT_TOPIC = "circuit breakers"
IMAGE_QUESTION = "What is the topic of this picture?"
OWN_PICTURE = "the demo's own picture"
EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8"
WORKER_HEADER = "X-Worker"
"""The answer's header with the process id of the worker that gave it."""
FRESH = {"Cache-Control": "no-store"}


def subtopics_prompt(topic: str) -> str:
    """Return what the text service is asked for subtopics."""
    return f"Name five subtopics of {topic}, one a line."


def explanation_prompt(topic: str) -> str:
    """Return what the text service is asked for an explanation."""
    return f"Explain {topic} in two sentences."


def subtopics(topic: str, text: str) -> dict[str, Any]:
    """Return the answer of /api/subtopics."""
    return {"outcome": "success", "topic": topic, "subtopics": text.splitlines()}


def explanation(topic: str, text: str) -> dict[str, Any]:
    """Return the answer of /api/explanation."""
    return {"outcome": "success", "topic": topic, "explanation": text}


def image_topic(text: str) -> dict[str, Any]:
    """Return the answer of /api/image2topic."""
    return {"outcome": "success", "topic": text}


def topic_in(sent: object) -> str:
    """Return what was asked for, or the demo's own topic where nothing was."""
    return sent if isinstance(sent, str) and sent.strip() else DEFAULT_TOPIC


def failed(error: Exception) -> tuple[int, dict[str, Any]]:
    """Return status and answer of a call that was made and raised ``error``."""
    # Only the type's name: a message may hold a prompt or a key.
    name = type(error).__name__
    if is_google_service_failure(error):
        return 502, {"outcome": "failure", "error": name}
    return 400, {"outcome": "ignored", "error": name}


def metrics(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the answer of /api/circuit-breakers/metrics from ``get_metrics()`` of each breaker."""
    return {"success": True, "breakers": figures, "timestamp": _now()}


def health(figures: Mapping[str, Mapping[str, Any]]) -> tuple[int, dict[str, Any]]:
    """Return status and answer of /api/health from ``get_metrics()`` of each breaker."""
    circuits = {
        key: {
            "state": of_circuit["state"],
            "is_healthy": of_circuit["is_healthy"],
            "success_rate": of_circuit["success_rate_percent"],
        }
        for key, of_circuit in figures.items()
    }
    healthy = all(circuit["is_healthy"] for circuit in circuits.values())
    status = "healthy" if healthy else "degraded"
    return 200 if healthy else 503, {"status": status, "circuit_breakers": circuits, "timestamp": _now()}


def redis_away(error: StoreError) -> tuple[int, dict[str, Any]]:
    """Return status and answer where Redis could not be asked for figures."""
    return 503, {"success": False, "status": "degraded", "error": str(error), "timestamp": _now()}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()
