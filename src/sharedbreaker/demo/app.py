"""The demo's web app: four endpoints that call Google AI under the three breakers, and three that show those.

    SHAREDBREAKER_DEMO_GOOGLE_AI_URL=http://... gunicorn 'sharedbreaker.demo.app:create_app()'

``AppEnvironment`` says which variables it reads.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, TypeVar

from flask import Blueprint, Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from sharedbreaker.breaker import CircuitBreaker
from sharedbreaker.circuit.errors import CircuitBreakerError, StoreError
from sharedbreaker.demo.app_environment import AppEnvironment
from sharedbreaker.demo.google_ai_client import GoogleAiClient
from sharedbreaker.demo.google_ai_server import draw_png
from sharedbreaker.google_ai import (
    export_all_prometheus_metrics,
    get_all_metrics,
    get_imagen_breaker,
    get_text_generation_breaker,
    get_vision_api_breaker,
    initialize_circuit_breakers,
)
from sharedbreaker.google_errors import is_google_service_failure

LARGEST_PICTURE = 10 * 1024 * 1024
DEFAULT_TOPIC = "circuit breakers"
EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REDIS_SECONDS = 1.0
"""A demo may share its machine with much else; no worker should decide by itself because of that."""
WORKER_HEADER = "X-Worker"
"""The answer's header with the process id of the worker that gave it."""

T = TypeVar("T")


def create_app() -> Flask:
    """Return the app as the environment says. Does no I/O: Redis and Google AI are met at the first call.

    Raises:
        DemoSetupError: the environment names no Google AI to ask.
        SettingsError: a setting of the breakers makes no sense.

    """
    environment = AppEnvironment.read()
    redis = {"url": environment.redis_url, "prefix": environment.prefix, "timeout": REDIS_SECONDS}
    initialize_circuit_breakers({"redis": redis})
    app = Flask("sharedbreaker-demo", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_PICTURE
    app.register_blueprint(
        _google_ai_endpoints(GoogleAiClient(environment.api_key, environment.google_ai_url))
    )
    app.register_blueprint(_breaker_endpoints())
    app.register_error_handler(StoreError, _redis_away)
    app.register_error_handler(HTTPException, _refused_request)
    app.after_request(_name_worker)
    return app


def _google_ai_endpoints(google_ai: GoogleAiClient) -> Blueprint:
    endpoints = Blueprint("google_ai", __name__, url_prefix="/api")

    @endpoints.route("/subtopics", methods=["GET", "POST"])
    def subtopics() -> Response:
        topic = _asked_for("topic")
        return _guarded(
            get_text_generation_breaker(),
            lambda: google_ai.generate_text(f"Name five subtopics of {topic}, one a line."),
            lambda text: jsonify(outcome="success", topic=topic, subtopics=text.splitlines()),
        )

    @endpoints.route("/explanation", methods=["GET", "POST"])
    def explanation() -> Response:
        topic = _asked_for("topic")
        return _guarded(
            get_text_generation_breaker(),
            lambda: google_ai.generate_text(f"Explain {topic} in two sentences."),
            lambda text: jsonify(outcome="success", topic=topic, explanation=text),
        )

    @endpoints.route("/image2topic", methods=["GET", "POST"])
    def image2topic() -> Response:
        png = _sent_picture() or draw_png("the demo's own picture")
        return _guarded(
            get_vision_api_breaker(),
            lambda: google_ai.describe_image("What is the topic of this picture?", png),
            lambda text: jsonify(outcome="success", topic=text),
        )

    @endpoints.route("/generate_image", methods=["GET", "POST"])
    def generate_image() -> Response:
        prompt = _asked_for("prompt")
        return _guarded(
            get_imagen_breaker(),
            lambda: google_ai.generate_image(prompt),
            lambda png: Response(png, mimetype="image/png"),
        )

    return endpoints


def _breaker_endpoints() -> Blueprint:
    endpoints = Blueprint("breakers", __name__)

    @endpoints.get("/metrics")
    def metrics() -> Response:
        return _fresh(Response(export_all_prometheus_metrics(), content_type=EXPOSITION_TYPE))

    @endpoints.get("/api/circuit-breakers/metrics")
    def circuit_breaker_metrics() -> Response:
        return _fresh(jsonify(success=True, breakers=get_all_metrics(), timestamp=_now()))

    @endpoints.get("/api/health")
    def health() -> Response:
        circuits = {
            key: {
                "state": figures["state"],
                "is_healthy": figures["is_healthy"],
                "success_rate": figures["success_rate_percent"],
            }
            for key, figures in get_all_metrics().items()
        }
        healthy = all(circuit["is_healthy"] for circuit in circuits.values())
        status = "healthy" if healthy else "degraded"
        response = _fresh(jsonify(status=status, circuit_breakers=circuits, timestamp=_now()))
        response.status_code = 200 if healthy else 503
        return response

    return endpoints


def _guarded(
    breaker: CircuitBreaker | None, call: Callable[[], T], answer: Callable[[T], Response]
) -> Response:
    """Call Google AI under ``breaker``, where there is one, and say in HTTP how it ended."""
    try:
        result = call() if breaker is None else breaker.call(call)
    except CircuitBreakerError as refusal:
        return _rejected(refusal)
    except Exception as error:
        # Only the type's name: a message may hold a prompt or a key.
        name = type(error).__name__
        if is_google_service_failure(error):
            return _error(502, {"outcome": "failure", "error": name})
        return _error(400, {"outcome": "ignored", "error": name})
    return answer(result)


def _rejected(refusal: CircuitBreakerError) -> Response:
    document = {
        "outcome": "rejected",
        "breaker": refusal.name,
        "state": refusal.state.value,
        "retry_after": refusal.retry_after,
    }
    response = _error(503, document)
    if refusal.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(refusal.retry_after)))
    return response


def _redis_away(error: StoreError) -> Response:
    document = {"success": False, "status": "degraded", "error": str(error), "timestamp": _now()}
    return _error(503, document)


def _refused_request(error: HTTPException) -> Response:
    return _error(error.code or 500, {"error": error.name, "message": error.description})


def _error(status: int, document: dict[str, Any]) -> Response:
    response = _fresh(jsonify(document))
    response.status_code = status
    return response


def _fresh(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def _name_worker(response: Response) -> Response:
    response.headers[WORKER_HEADER] = str(os.getpid())
    return response


def _asked_for(name: str) -> str:
    document = request.get_json(silent=True) if request.is_json else None
    sent = document.get(name) if isinstance(document, dict) else request.values.get(name)
    return sent if isinstance(sent, str) and sent.strip() else DEFAULT_TOPIC


def _sent_picture() -> bytes:
    uploaded = request.files.get("image")
    return uploaded.read() if uploaded is not None else request.get_data()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()
