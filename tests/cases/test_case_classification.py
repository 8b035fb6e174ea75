"""Cases SB-065 and SB-066: whose fault an error of Google's is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

import pytest
from case_google import LONG, GoogleCircuits, awaiting, errors_of, every_way, of_google, raised_by, raising
from case_google import all_servers as all_servers
from case_google import any_circuits as any_circuits
from case_google import circuits as circuits
from case_google import servers as servers
from redis import Redis
from sdk_servers import Servers
from ways import HAS_GENAI, HAS_GENERATIVEAI, Ask, Way

from circuit_in_redis import CircuitInRedis
from sharedbreaker import (
    AsyncCircuitBreaker,
    CircuitBreaker,
    CircuitBreakerError,
    circuit_breaker,
    get_text_generation_breaker,
    initialize_circuit_breakers,
)
from sharedbreaker.demo.google_ai_server import Behaviour
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.google_errors import outcome_of

pytestmark = of_google
TEXT_CIRCUIT = "google_ai_text_generation"


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
        breaker = CircuitBreaker(name="own", redis=redis, redis_timeout=5, expected_exception=outcome_of)
        raised = [raised_by(lambda: breaker.call(raising(error))) for _ in range(20)]
    else:
        twin = AsyncCircuitBreaker(
            name="own", redis=redis_server.url, redis_timeout=5, expected_exception=outcome_of
        )
        raised = asyncio.run(errors_of(partial(twin.call, awaiting(raising(error))), 20))

    assert all(one is error for one in raised)
    circuit = CircuitInRedis(redis, "own")
    assert circuit.field("state") == "closed"
    assert circuit.numbers("failed_calls", "ignored_calls") == {"failed_calls": 0, "ignored_calls": 20}


@pytest.mark.parametrize("error", MISTAKES, ids=lambda error: f"{type(error).__name__}-{error}"[:30])
def test_sb065_the_three_breakers_know_a_mistake(
    redis: Redis, redis_server: RedisServer, error: Exception
) -> None:
    """The breakers of Google AI themselves, around a function of a user's own, ignore a caller's mistake."""
    initialize_circuit_breakers({"redis": {"url": redis_server.url, "timeout": 5}})
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
