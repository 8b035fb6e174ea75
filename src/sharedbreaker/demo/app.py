"""The demo's web app: four endpoints that call Google AI under the three breakers, and three that show those.

    SHAREDBREAKER_DEMO_GOOGLE_AI_URL=http://... gunicorn 'sharedbreaker.demo.app:create_app()'

``AppEnvironment`` says which variables it reads.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Blueprint, Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from sharedbreaker.breaker import CircuitBreaker
from sharedbreaker.circuit.errors import CircuitBreakerError, StoreError
from sharedbreaker.demo import endpoints as said
from sharedbreaker.demo.app_environment import AppEnvironment
from sharedbreaker.demo.genai_client import GenaiClient
from sharedbreaker.demo.google_ai_client import GoogleAiClient
from sharedbreaker.demo.google_ai_server import draw_png
from sharedbreaker.demo.sdk import Sdk
from sharedbreaker.google_ai import (
    export_all_prometheus_metrics,
    get_all_metrics,
    get_imagen_breaker,
    get_text_generation_breaker,
    get_vision_api_breaker,
    initialize_circuit_breakers,
)
from sharedbreaker.integrations.flask import RejectionResponses

LARGEST_PICTURE = 10 * 1024 * 1024

T = TypeVar("T")


def create_app() -> Flask:
    """Return the app as the environment says. Does no I/O: Redis and Google AI are met at the first call.

    Raises:
        DemoSetupError: the environment names no Google AI to ask.
        SettingsError: a setting of the breakers makes no sense.

    """
    environment = AppEnvironment.read()
    initialize_circuit_breakers(environment.breaker_configuration)
    client = GenaiClient if environment.sdk is Sdk.GENAI else GoogleAiClient
    app = Flask("sharedbreaker-demo", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_PICTURE
    app.register_blueprint(_google_ai_endpoints(client(environment.api_key, environment.google_ai_url)))
    app.register_blueprint(_breaker_endpoints())
    RejectionResponses(app)
    app.register_error_handler(StoreError, lambda error: _document(*said.redis_away(error)))
    app.register_error_handler(HTTPException, _refused_request)
    app.after_request(_name_worker)
    return app


def _google_ai_endpoints(google_ai: GoogleAiClient | GenaiClient) -> Blueprint:
    endpoints = Blueprint("google_ai", __name__, url_prefix="/api")

    @endpoints.route("/subtopics", methods=["GET", "POST"])
    def subtopics() -> Response:
        topic = _asked_for("topic")
        return _guarded(
            get_text_generation_breaker(),
            lambda: google_ai.generate_text(said.subtopics_prompt(topic)),
            lambda text: jsonify(said.subtopics(topic, text)),
        )

    @endpoints.route("/explanation", methods=["GET", "POST"])
    def explanation() -> Response:
        topic = _asked_for("topic")
        return _guarded(
            get_text_generation_breaker(),
            lambda: google_ai.generate_text(said.explanation_prompt(topic)),
            lambda text: jsonify(said.explanation(topic, text)),
        )

    @endpoints.route("/image2topic", methods=["GET", "POST"])
    def image2topic() -> Response:
        png = _sent_picture() or draw_png(said.OWN_PICTURE)
        return _guarded(
            get_vision_api_breaker(),
            lambda: google_ai.describe_image(said.IMAGE_QUESTION, png),
            lambda text: jsonify(said.image_topic(text)),
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
        return _fresh(Response(export_all_prometheus_metrics(), content_type=said.EXPOSITION_TYPE))

    @endpoints.get("/api/circuit-breakers/metrics")
    def circuit_breaker_metrics() -> Response:
        return _fresh(jsonify(said.metrics(get_all_metrics())))

    @endpoints.get("/api/health")
    def health() -> Response:
        return _document(*said.health(get_all_metrics()))

    return endpoints


def _guarded(
    breaker: CircuitBreaker | None, call: Callable[[], T], answer: Callable[[T], Response]
) -> Response:
    """Call Google AI under ``breaker``, where there is one, and say in HTTP how it ended."""
    try:
        result = call() if breaker is None else breaker.call(call)
    except CircuitBreakerError:
        raise
    except Exception as error:
        return _document(*said.failed(error))
    return answer(result)


def _refused_request(error: HTTPException) -> Response:
    return _document(error.code or 500, {"error": error.name, "message": error.description})


def _document(status: int, document: dict[str, Any]) -> Response:
    response = _fresh(jsonify(document))
    response.status_code = status
    return response


def _fresh(response: Response) -> Response:
    response.headers.update(said.FRESH)
    return response


def _name_worker(response: Response) -> Response:
    response.headers[said.WORKER_HEADER] = str(os.getpid())
    return response


def _asked_for(name: str) -> str:
    document = request.get_json(silent=True) if request.is_json else None
    return said.topic_in(document.get(name) if isinstance(document, dict) else request.values.get(name))


def _sent_picture() -> bytes:
    uploaded = request.files.get("image")
    return uploaded.read() if uploaded is not None else request.get_data()
