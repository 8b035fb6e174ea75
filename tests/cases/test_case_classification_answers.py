"""Cases SB-067 to SB-069: an answer with nothing in it is an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from case_google import GoogleCircuits, awaiting, errors_of, every_way, of_google, raised_by, raising
from case_google import all_servers as all_servers
from case_google import any_circuits as any_circuits
from case_google import circuits as circuits
from case_google import servers as servers
from redis import Redis
from ways import WAYS, Ask, Way

from circuit_in_redis import CircuitInRedis
from sharedbreaker import (
    AsyncCircuitBreaker,
    CircuitBreaker,
    CircuitBreakerError,
    get_text_generation_breaker,
    initialize_circuit_breakers,
)
from sharedbreaker.demo.google_ai_server import Behaviour, Content
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.google_errors import outcome_of

pytestmark = of_google
in_threads = pytest.mark.parametrize(
    "way",
    [way for way in WAYS if "async" not in way.name and "aiohttp" not in way.name],
    ids=lambda way: way.name,
)
TEXT_CIRCUIT = "google_ai_text_generation"
REASONS = [content for content in Content if content not in {Content.WHOLE, Content.NOTHING}]


@every_way
def test_sb067_what_is_blocked_counts_as_answered(circuits: GoogleCircuits, way: Way) -> None:
    """Twelve blocked answers, whole and in chats: whatever the SDK makes of them, the service is there."""
    asks = circuits.through([Behaviour(content=content) for content in REASONS], Ask.WHOLE, Ask.CHAT)
    for number, answer in enumerate(circuits.calls(way, asks)):
        in_chat = number % 2
        if isinstance(answer, Exception):
            assert type(answer).__name__ in {"BlockedPromptException", "StopCandidateException"}
            assert in_chat
        else:
            # For the old SDK, MAX_TOKENS ends a chat's turn as it should end.
            at_its_end = REASONS[number // 2] is Content.MAX_TOKENS
            assert not in_chat or way.name.startswith("genai") or at_its_end

    circuit = circuits.circuit()
    assert circuit.field("state") == "closed"
    assert {name: count for name, count in circuit.tallies().items() if count} == {"successful_calls": 12}


@every_way
@pytest.mark.parametrize("ask", [Ask.WHOLE, Ask.CHAT, Ask.CHAT_STREAM])
def test_sb067_a_blocked_probe_closes_the_circuit(circuits: GoogleCircuits, way: Way, ask: Ask) -> None:
    """A service that blocks a prompt has answered: as a probe it is a success, and its place is free."""
    circuit = circuits.trip_and_wait()
    circuits.servers.behave(Behaviour(content=Content.BLOCKED_PROMPT))
    [answer] = circuits.calls(way, [ask])

    assert not isinstance(answer, CircuitBreakerError)
    assert circuit.field("state") == "closed"
    assert circuit.leases() == {}


@in_threads
@pytest.mark.parametrize("ask", [Ask.CHAT, Ask.CHAT_STREAM])
def test_sb067_a_blocked_chat_under_ones_own_breaker_is_answered(
    circuits: GoogleCircuits, redis: Redis, way: Way, ask: Ask
) -> None:
    """Where the whole turn of a chat is the guarded function, what the chat raises comes out as a success."""
    breaker = CircuitBreaker(
        name="own", redis=redis, redis_timeout=5, failure_threshold=1, expected_exception=outcome_of
    )
    circuits.servers.behave(Behaviour(content=Content.BLOCKED_PROMPT))
    if way.name.startswith("generativeai"):
        error = raised_by(partial(breaker.call, way.call, circuits.servers.address, ask, 10))
        assert type(error).__name__ == "BlockedPromptException"
    else:
        assert breaker.call(way.call, circuits.servers.address, ask, 10)

    circuit = CircuitInRedis(redis, "own")
    assert circuit.field("state") == "closed"
    assert {name: count for name, count in circuit.tallies().items() if count} == {"successful_calls": 1}


def topic_in(answer: Any) -> str:
    """Read an answer as people do who never saw a blocked one."""
    return str(answer.text.split()[-1])


def first_word_in(answer: Any) -> str:
    return str(answer.candidates[0].content.parts[0].text.split()[0])


def looked_up(answer: Any) -> str:
    return {"sky": "blue"}[str(answer.candidates)]


@in_threads
@pytest.mark.parametrize("read", [topic_in, first_word_in, looked_up])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_sb068_reading_a_blocked_answer_is_no_failure(
    circuits: GoogleCircuits,
    redis: Redis,
    redis_server: RedisServer,
    way: Way,
    read: Callable[[Any], str],
    kind: str,
) -> None:
    """What `.text` and its like raise inside the guarded function is raised as it is, and opens nothing."""
    circuits.servers.behave(Behaviour(content=Content.BLOCKED_PROMPT))

    def topic() -> str:
        return read(way.call(circuits.servers.address, Ask.WHOLE, 10))

    settings: dict[str, Any] = {
        "name": "own",
        "redis_timeout": 5,
        "failure_threshold": 1,
        "expected_exception": outcome_of,
    }
    if kind == "sync":
        breaker = CircuitBreaker(redis=redis, **settings)
        errors = [raised_by(lambda: breaker.call(topic)) for _ in range(2)]
    else:
        twin = AsyncCircuitBreaker(redis=redis_server.url, **settings)
        errors = asyncio.run(errors_of(partial(twin.call, awaiting(topic)), 2))

    assert all(isinstance(error, ValueError | LookupError | AttributeError | TypeError) for error in errors)
    circuit = CircuitInRedis(redis, "own")
    assert (circuit.field("state"), circuit.number("failed_calls")) == ("closed", 0)


@pytest.mark.parametrize("error", [ValueError, IndexError, AttributeError, KeyError])
def test_sb068_the_three_breakers_ignore_errors_of_ones_own(
    redis: Redis, redis_server: RedisServer, error: type[Exception]
) -> None:
    """The breakers of Google AI count what says something about Google's health, and nothing else."""
    initialize_circuit_breakers({"redis": {"url": redis_server.url, "timeout": 5}})
    breaker = get_text_generation_breaker()
    assert breaker is not None
    for _ in range(10):
        with pytest.raises(error):
            breaker.call(raising(error("no text")))

    assert CircuitInRedis(redis, TEXT_CIRCUIT).field("state") == "closed"


@every_way
def test_sb069_pictures_that_are_left_out_are_no_failure(circuits: GoogleCircuits, way: Way) -> None:
    """A refusal before drawing is ignored; answers with a reason, or nothing, are whole and untouched."""
    behaviours = [
        Behaviour(status=400),
        Behaviour(content=Content.SAFETY),
        Behaviour(content=Content.NOTHING),
    ]
    pictures = [Ask.PICTURE] * 10
    untouched = way.calls(circuits.servers.address, circuits.through(behaviours[1:], Ask.PICTURE), 10)
    answers = circuits.calls(way, circuits.through(behaviours, *pictures))

    assert all(isinstance(error, Exception) for error in answers[:10])
    for answer, as_it_was in zip(answers[10:], [one for one in untouched for _ in pictures], strict=True):
        assert type(answer) is type(as_it_was)
        assert without_headers(answer) == without_headers(as_it_was)
    circuit = circuits.circuit("imagen")
    assert circuit.field("state") == "closed"
    tallies = {name: count for name, count in circuit.tallies().items() if count}
    assert tallies == {"ignored_calls": 10, "successful_calls": 20}


def without_headers(answer: Any) -> str:
    """All of an answer but for the time of day."""
    if hasattr(answer, "sdk_http_response"):
        return str(answer.model_dump(exclude={"sdk_http_response"}))
    return str(answer)
