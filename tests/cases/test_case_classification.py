"""Cases SB-065 to SB-069: what an error, or an answer with nothing in it, says about Google's health."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from case_google import LONG, GoogleCircuits, every_way, of_google, raised_by
from case_google import all_servers as all_servers
from case_google import any_circuits as any_circuits
from case_google import circuits as circuits
from case_google import servers as servers
from redis import Redis
from sdk_servers import Servers
from ways import HAS_GENAI, HAS_GENERATIVEAI, WAYS, Ask, Way

from circuit_in_redis import CircuitInRedis
from sharedbreaker import (
    AsyncCircuitBreaker,
    CircuitBreaker,
    CircuitBreakerError,
    circuit_breaker,
    get_text_generation_breaker,
    initialize_circuit_breakers,
)
from sharedbreaker.demo.google_ai_server import Behaviour, Content
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.google_errors import outcome_of

pytestmark = of_google
TEXT_CIRCUIT = "google_ai_text_generation"
REASONS = [content for content in Content if content not in {Content.WHOLE, Content.NOTHING}]


def callers_mistakes() -> Iterator[Exception]:
    """Every class in which an SDK, or the caller's own code, says that the caller was wrong."""
    if HAS_GENAI:
        from google.genai import errors

        for status in (400, 401, 403, 404, 413):
            yield errors.ClientError(status, {"error": {"code": status, "message": "no", "status": "NO"}})
    if HAS_GENERATIVEAI:
        from google.api_core import exceptions

        for name in (
            "InvalidArgument",
            "NotFound",
            "PermissionDenied",
            "Unauthenticated",
            "FailedPrecondition",
            "OutOfRange",
        ):
            yield getattr(exceptions, name)("no")
    yield TypeError("an argument that is none")
    yield ValueError("a value that is wrong")


MISTAKES = list(callers_mistakes())


def raising(error: Exception) -> Callable[[], Any]:
    def ask() -> Any:
        raise error

    return ask


def awaiting(function: Callable[[], Any]) -> Callable[[], Any]:
    async def ask() -> Any:
        return function()

    return ask


@every_way
def test_sb065_bad_requests_leave_the_circuit_closed(any_circuits: GoogleCircuits, way: Way) -> None:
    """Twenty bad requests in a row, of every kind, open nothing, and each caller hears which it was."""
    # gRPC has no word for a body that is too large.
    statuses = [400, 401, 403, 404, 400 if "grpc" in way.name else 413]
    behaviours = [*(Behaviour(status=status) for status in statuses), Behaviour()]
    *errors, answer = any_circuits.calls(way, any_circuits.through(behaviours, *[Ask.WHOLE] * 4))[:21]

    assert [error.code for error in errors] == [status for status in statuses for _ in range(4)]
    assert answer.text == "You asked: hi"
    circuit = any_circuits.circuit()
    assert circuit.field("state") == "closed"
    assert circuit.numbers("failed_calls", "failure_count") == {"failed_calls": 0, "failure_count": 0}


@pytest.mark.parametrize("error", MISTAKES, ids=lambda error: f"{type(error).__name__}-{error}"[:30])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_sb065_the_callers_mistake_is_raised_as_it_is(
    redis: Redis, redis_server: RedisServer, kind: str, error: Exception
) -> None:
    """Under a breaker that is given `outcome_of`, the very same object comes out, and nothing is counted."""
    if kind == "sync":
        breaker = CircuitBreaker(name="own", redis=redis, expected_exception=outcome_of)
        raised = [raised_by(lambda: breaker.call(raising(error))) for _ in range(20)]
    else:
        twin = AsyncCircuitBreaker(name="own", redis=redis_server.url, expected_exception=outcome_of)
        raised = [raised_by(lambda: asyncio.run(twin.call(awaiting(raising(error))))) for _ in range(20)]

    assert all(one is error for one in raised)
    circuit = CircuitInRedis(redis, "own")
    assert circuit.field("state") == "closed"
    assert circuit.numbers("failed_calls", "ignored_calls") == {"failed_calls": 0, "ignored_calls": 20}


@pytest.mark.parametrize("error", MISTAKES, ids=lambda error: f"{type(error).__name__}-{error}"[:30])
def test_sb065_the_three_breakers_know_a_mistake(redis: Redis, error: Exception) -> None:
    """The breakers of Google AI themselves, around a function of a user's own, ignore a caller's mistake."""
    initialize_circuit_breakers({"redis": redis})
    breaker = get_text_generation_breaker()
    assert breaker is not None
    guarded = circuit_breaker(breaker)(raising(error))

    assert all(raised_by(guarded) is error for _ in range(20))
    assert CircuitInRedis(redis, TEXT_CIRCUIT).field("state") == "closed"


@every_way
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_sb066_overload_opens_the_circuit(circuits: GoogleCircuits, way: Way, status: int) -> None:
    """Five answers that the service is at its end open the circuit, and the sixth call is not made.

    Failures of the service are told apart from callers' own and from rejections by the tallies; what the
    last one was is in the hash, and what opened the circuit in its events.

    Failed at first: of a failure only the class was kept, `ServerError` for each of these.
    """
    if status == 502 and "grpc" in way.name:
        status = 500  # gRPC has no word for a bad gateway
    circuits.servers.behave(Behaviour(status=status))
    *errors, rejection = circuits.calls(way, [Ask.WHOLE] * 6)

    assert {type(error).__name__ for error in errors} == {type(errors[0]).__name__} != {"CircuitBreakerError"}
    assert [error.code for error in errors] == [status] * 5
    assert isinstance(rejection, CircuitBreakerError)
    assert circuits.requests() == 5
    circuit = circuits.circuit()
    assert circuit.field("state") == "open"
    assert {name: count for name, count in circuit.tallies().items() if count} == {
        "failed_calls": 5,
        "rejected_calls": 1,
    }
    kind = f"{type(errors[-1]).__name__} {status}"
    assert circuit.field("last_failure_type") == kind
    assert circuit.events()[-1]["exception"] == kind


@every_way
def test_sb066_overload_opens_the_circuit_under_a_staleness(
    redis: Redis, redis_server: RedisServer, servers: Servers, way: Way
) -> None:
    """A process that acts on an old view has told each failure, and knows that the circuit is open."""
    circuits = GoogleCircuits(redis, redis_server.url, servers, max_staleness=LONG)
    answers = circuits.calls(
        way,
        [
            *circuits.through([Behaviour()], Ask.WHOLE),
            *circuits.through([Behaviour(status=503)], *[Ask.WHOLE] * 6),
        ],
    )

    assert isinstance(answers[-1], CircuitBreakerError)
    assert circuits.circuit().field("state") == "open"


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


def topic_in(answer: Any) -> str:
    """Read an answer as people do who never saw a blocked one."""
    return str(answer.text.split()[-1])


def first_word_in(answer: Any) -> str:
    return str(answer.candidates[0].content.parts[0].text.split()[0])


def looked_up(answer: Any) -> str:
    return {"sky": "blue"}[str(answer.candidates)]


@pytest.mark.parametrize(
    "way",
    [way for way in WAYS if "async" not in way.name and "aiohttp" not in way.name],
    ids=lambda way: way.name,
)
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

    settings: dict[str, Any] = {"name": "own", "failure_threshold": 1, "expected_exception": outcome_of}
    if kind == "sync":
        breaker = CircuitBreaker(redis=redis, **settings)
        errors = [raised_by(lambda: breaker.call(topic)) for _ in range(2)]
    else:
        twin = AsyncCircuitBreaker(redis=redis_server.url, **settings)
        errors = [raised_by(lambda: asyncio.run(twin.call(awaiting(topic)))) for _ in range(2)]

    assert all(isinstance(error, ValueError | LookupError | AttributeError | TypeError) for error in errors)
    circuit = CircuitInRedis(redis, "own")
    assert (circuit.field("state"), circuit.number("failed_calls")) == ("closed", 0)


@pytest.mark.parametrize("error", [ValueError, IndexError, AttributeError, KeyError])
def test_sb068_the_three_breakers_ignore_errors_of_ones_own(redis: Redis, error: type[Exception]) -> None:
    """The breakers of Google AI count what says something about Google's health, and nothing else."""
    initialize_circuit_breakers({"redis": redis})
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
