"""Flask under gunicorn: Google AI behind three breakers that all workers share, and 503 while one is open.

    pip install 'sharedbreaker[flask,google-genai]' gunicorn
    GOOGLE_API_KEY=... gunicorn --workers 4 --threads 4 'flask_app:create_app()'

SHAREDBREAKER_REDIS_URL says where Redis is; without it, on localhost.
"""

from flask import Flask, Response, request
from google import genai
from google.genai import errors, types

from sharedbreaker import (
    get_imagen_breaker,
    get_text_generation_breaker,
    get_vision_api_breaker,
    initialize_circuit_breakers,
)
from sharedbreaker.integrations.flask import RejectionResponses
from sharedbreaker.integrations.google_genai import guard


def create_app() -> Flask:
    """Return the app. Each worker makes its own: the SDK's connections must not be shared by a fork."""
    initialize_circuit_breakers()
    client = guard(
        genai.Client(),
        text=get_text_generation_breaker(),
        vision=get_vision_api_breaker(),
        imagen=get_imagen_breaker(),
    )
    app = Flask(__name__)
    RejectionResponses(app)

    @app.get("/explanation")
    def explanation() -> str:
        prompt = f"Explain {request.args['topic']} in two sentences."
        answer = client.models.generate_content(model="gemini-2.5-flash", contents=prompt)
        return answer.text or ""

    @app.post("/topic")
    def topic() -> str:
        picture = types.Part.from_bytes(data=request.get_data(), mime_type="image/png")
        answer = client.models.generate_content(
            model="gemini-2.5-flash", contents=[picture, "What is the topic of this picture?"]
        )
        return answer.text or ""

    @app.get("/picture")
    def picture() -> Response:
        answer = client.models.generate_content(model="gemini-2.5-flash-image", contents=request.args["of"])
        drawn = [part.inline_data for part in answer.parts or () if part.inline_data is not None]
        return Response(drawn[0].data, mimetype=drawn[0].mime_type)

    @app.errorhandler(errors.APIError)
    def google_failed(error: errors.APIError) -> tuple[str, int]:
        return f"Google AI answered {error.code}", 502

    return app
