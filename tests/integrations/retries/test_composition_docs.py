"""What docs/composition.md says, done."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tenacity.nap
from redis import Redis

from circuit_in_redis import CircuitInRedis
from sharedbreaker import CircuitBreakerError
from sharedbreaker.demo.redis_server import RedisServer

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "composition.md").read_text()
SECTIONS = {
    section.partition("\n")[0]: section for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
}


def code_of(section: str) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", SECTIONS[section], re.DOTALL))


@pytest.fixture
def names(redis_server: RedisServer, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of a page's code, whose breakers find the tests' server."""
    monkeypatch.setenv("SHAREDBREAKER_REDIS_URL", redis_server.url)
    return {"__name__": "page"}


@pytest.fixture
def slept(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits of a retry, for which nobody waits: the time passes for the circuit alone."""
    circuit = CircuitInRedis(redis, "google_ai_text_generation")
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        # Redis counts whole milliseconds.
        circuit.elapse(round(seconds * 1000))

    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=sleep))
    return waits


def service_that_fails(times: int) -> Callable[[str], str]:
    failures = iter(range(times))

    def service(prompt: str) -> str:
        if next(failures, None) is not None:
            raise ConnectionError("no answer")
        return f"an answer to {prompt}"

    return service


def test_fallbacks_answer_as_shown(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """The section runs as it stands, and prints what it says."""
    exec(code_of("Fallbacks"), names)  # noqa: S102
    shown = "".join(re.findall(r"```text\n(.*?)```", SECTIONS["Fallbacks"], re.DOTALL))

    assert capsys.readouterr().out == shown
    assert names["breaker"].get_metrics()["failed_calls"] == 2


@pytest.mark.parametrize("library", ["tenacity", "stamina"])
def test_a_retry_waits_for_the_circuit(
    names: dict[str, Any], redis: Redis, slept: list[float], library: str
) -> None:
    """Five failures open the circuit, one rejection is waited out, and the next try is a probe."""
    names["service"] = service_that_fails(5)
    exec(code_of(library), names)  # noqa: S102

    assert names["ask"]("cats") == "an answer to cats"
    [*usual, for_the_circuit] = slept
    assert len(usual) == 5
    assert max(usual) < 10 < for_the_circuit <= 30
    assert names["breaker"].get_metrics()["rejected_calls"] == 1


@pytest.mark.parametrize("library", ["tenacity", "stamina"])
def test_a_retry_gives_up_before_a_wait_that_is_too_long(
    names: dict[str, Any], slept: list[float], library: str
) -> None:
    """A circuit that is open for longer than the retry lasts is not waited for."""
    names["service"] = service_that_fails(0)
    exec(code_of(library), names)  # noqa: S102
    names["breaker"].force_open(seconds=600)
    with pytest.raises(CircuitBreakerError):
        names["ask"]("cats")

    assert slept == []


def test_a_time_limit_inside_is_a_failure(names: dict[str, Any]) -> None:
    """An overrun counts, and the view goes on."""
    exec(code_of("Time limits"), names)  # noqa: S102

    assert asyncio.run(names["view"]()) == "a failure: 1"
