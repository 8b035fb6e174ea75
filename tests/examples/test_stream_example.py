"""examples/google_genai_stream.py, run as a command."""

from __future__ import annotations

import subprocess
import sys

from redis import Redis
from running_example import EXAMPLES, PATIENCE
from running_example import environment as environment
from running_example import google_ai as google_ai

from sharedbreaker import CircuitBreaker


def run(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "google_genai_stream.py", "Why", "so?"],
        cwd=EXAMPLES,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_a_stream_is_printed_and_counts_once(environment: dict[str, str], redis: Redis) -> None:
    """The answer is printed, and its stream is one success of the text circuit."""
    done = run(environment)

    assert (done.returncode, done.stdout) == (0, "You asked: Why so?\n"), done.stderr
    assert redis.hget("sharedbreaker:{google_ai_text_generation}", "successful_calls") == "1"


def test_a_rejected_stream_says_when_to_try_again(environment: dict[str, str], redis: Redis) -> None:
    """While the circuit is open, nothing is asked, and the message and the exit status say so."""
    CircuitBreaker(name="google_ai_text_generation", redis=redis).force_open(seconds=600)
    done = run(environment)

    assert (done.returncode, done.stdout) == (75, "")
    assert "circuit 'google_ai_text_generation': call not made" in done.stderr
    assert "try again in" in done.stderr
    assert "hushhush" not in done.stderr
