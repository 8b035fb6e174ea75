"""Celery: a task that a circuit rejects is put off until the circuit may let it through.

    pip install 'sharedbreaker[google-genai]' 'celery[redis]'
    GOOGLE_API_KEY=... celery --app celery_tasks worker --concurrency 4

SHAREDBREAKER_REDIS_URL says where the breakers' Redis is, CELERY_BROKER_URL and CELERY_RESULT_BACKEND where
Celery's are.
"""

import random
from functools import cache

from celery import Celery, Task
from google import genai

from sharedbreaker import CircuitBreakerError, get_text_generation_breaker, initialize_circuit_breakers
from sharedbreaker.integrations.google_genai import guard

UNKNOWN_WAIT = 30.0
"""Seconds to wait where nobody knows when the circuit will be let go, as when it is held open by hand."""

app = Celery("celery_tasks")

# Before the workers fork, which is safe: a breaker shares no socket, no lock and no tally with a child.
initialize_circuit_breakers()


@cache
def client() -> genai.Client:
    """Return this process' client. Made at its first task: the SDK's connections must not be forked."""
    return guard(genai.Client(), text=get_text_generation_breaker())


@app.task(bind=True, max_retries=None)
def explain(self: Task, topic: str) -> str | None:
    """Explain ``topic`` in two sentences, as soon as the circuit lets it."""
    prompt = f"Explain {topic} in two sentences."
    try:
        return client().models.generate_content(model="gemini-2.5-flash", contents=prompt).text
    except CircuitBreakerError as refusal:
        wait = UNKNOWN_WAIT if refusal.retry_after is None else max(1.0, refusal.retry_after)
        # Each at a moment of its own, or all that wait would come back at once for a probe's place.
        raise self.retry(exc=refusal, countdown=wait * random.uniform(1, 1.3)) from refusal
