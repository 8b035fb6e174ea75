"""google-genai: a stream that is printed as it comes, as one call of the text breaker.

    pip install 'sharedbreaker[google-genai]'
    GOOGLE_API_KEY=... python google_genai_stream.py "Why is the sky blue?"

The circuit counts a success when the stream has been read to its end, and a failure where it breaks.
SHAREDBREAKER_REDIS_URL says where Redis is; without it, on localhost.
"""

import sys

from google import genai

from sharedbreaker import CircuitBreakerError, get_text_generation_breaker, initialize_circuit_breakers
from sharedbreaker.integrations.google_genai import guard

TRY_LATER = 75
"""What ``sysexits.h`` calls EX_TEMPFAIL."""


def main(prompt: str) -> int:
    """Print the answer to ``prompt`` and return the exit status."""
    initialize_circuit_breakers()
    client = guard(genai.Client(), text=get_text_generation_breaker())
    try:
        for piece in client.models.generate_content_stream(model="gemini-2.5-flash", contents=prompt):
            print(piece.text, end="", flush=True)
    except CircuitBreakerError as refusal:
        print(refusal, file=sys.stderr)
        return TRY_LATER
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:]) or "Why is the sky blue?"))
