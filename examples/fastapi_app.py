"""FastAPI under uvicorn: async calls of Google AI behind breakers that all workers share, streams included.

    pip install 'sharedbreaker[google-genai]' fastapi uvicorn
    GOOGLE_API_KEY=... uvicorn --workers 4 fastapi_app:app

SHAREDBREAKER_REDIS_URL says where Redis is; without it, on localhost.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from google import genai
from google.genai import errors

from sharedbreaker import AsyncCircuitBreaker
from sharedbreaker.integrations.asgi import RejectionMiddleware
from sharedbreaker.integrations.google_genai import guard

client = guard(
    genai.Client(),
    text=AsyncCircuitBreaker(failure_threshold=5, name="google_ai_text_generation"),
    vision=AsyncCircuitBreaker(failure_threshold=3, name="google_ai_vision"),
).aio

app = FastAPI()
app.add_middleware(RejectionMiddleware)


@app.get("/explanation", response_class=PlainTextResponse)
async def explanation(topic: str) -> str:
    """Answer when the answer is whole."""
    answer = await client.models.generate_content(
        model="gemini-2.5-flash", contents=f"Explain {topic} in two sentences."
    )
    return answer.text or ""


@app.get("/story")
async def story(topic: str) -> StreamingResponse:
    """Answer piece by piece."""
    pieces = await client.models.generate_content_stream(
        model="gemini-2.5-flash", contents=f"Tell a story about {topic}."
    )
    # A rejection or an error comes with the first piece. Here it still decides the response's status.
    first = await anext(pieces)

    async def body() -> AsyncIterator[str]:
        async with aclosing(pieces):  # a reader who leaves ends the call, and is nobody's failure
            yield first.text or ""
            async for piece in pieces:
                yield piece.text or ""

    return StreamingResponse(body(), media_type="text/plain")


@app.exception_handler(errors.APIError)
async def google_failed(_request: Request, error: errors.APIError) -> JSONResponse:
    """Tell a failure of Google's from one of this app."""
    return JSONResponse({"error": f"Google AI answered {error.code}"}, status_code=502)
