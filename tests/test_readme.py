"""What the README says, done."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from redis import Redis

from sharedbreaker import CircuitBreaker
from sharedbreaker.circuit.state import TRANSITIONS
from sharedbreaker.demo.redis_server import RedisServer

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MOST_LINES = 300


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_runs(redis_server: RedisServer, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first example works as it stands, and tells its caller when the circuit is open."""
    monkeypatch.setenv("SHAREDBREAKER_REDIS_URL", redis_server.url)

    def ask_gemini(question: str, image: bytes) -> str:
        if not image:
            raise TimeoutError
        return "a cat"

    names: dict[str, object] = {"ask_gemini": ask_gemini}
    exec(block("python"), names)  # noqa: S102
    describe = names["describe"]
    assert callable(describe)

    assert describe(b"png") == "a cat"
    for _ in range(3):
        with pytest.raises(TimeoutError):
            describe(b"")
    assert describe(b"png") == "not now, try again in 60 s"


def test_the_hash_looks_as_shown(redis: Redis) -> None:
    """The fields that HGETALL is said to show first are those that it shows, in that order."""
    breaker = CircuitBreaker(failure_threshold=3, name="google_ai_vision", redis=redis)
    for _ in range(3):
        with pytest.raises(OSError, match="gone"):
            breaker.call(fail)
    shown = [line.split("\t")[0] for line in block("console").splitlines()[1:]]

    fields = list(redis.hgetall("sharedbreaker:{google_ai_vision}"))
    assert shown == fields[: len(shown)]
    assert block("console").splitlines()[0].endswith(f"head -n {len(shown)}")
    assert fields[len(shown)] == "failure_rate_percent"


def fail() -> None:
    raise OSError("gone")


def test_the_diagram_has_the_ways_of_the_table() -> None:
    """The state diagram draws the transitions that there are, and no others."""
    drawn = re.findall(r"(\w+) --> (\w+):", block("mermaid"))

    assert drawn == [(way.before.value, way.after.value) for way in TRANSITIONS]


@pytest.mark.parametrize("command", re.findall(r"^ {4}make (\w+)", README, re.MULTILINE))
def test_the_commands_are_in_the_makefile(command: str) -> None:
    """Each command of the README is a target that make knows how to reach."""
    dry_run = subprocess.run(
        ["make", "--dry-run", command], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert dry_run.returncode == 0, dry_run.stderr


def test_links_lead_somewhere() -> None:
    """Every file that the README links to is there."""
    links = re.findall(r"\]\(([^)#]+)\)", README)

    assert [link for link in links if not (ROOT / link).exists()] == []


def test_no_file_has_grown_into_two() -> None:
    """Source and test files stay under about 300 lines."""
    files = [*ROOT.glob("src/**/*.py"), *ROOT.glob("lua/*.lua"), *ROOT.glob("tests/**/*.py")]
    lengths = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in files}

    assert {file: length for file, length in lengths.items() if length > MOST_LINES + 35} == {}
