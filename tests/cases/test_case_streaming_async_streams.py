"""Cases SB-079 and SB-081: a stream is one call from its first piece to its last, and no success unread."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from case_google import (
    GoogleCircuits,
    every_way,
    needs_genai,
    needs_generativeai,
    of_google,
    raised_by,
    until,
)
from case_google import all_servers as all_servers
from case_google import any_circuits as any_circuits
from case_google import circuits as circuits
from case_google import servers as servers
from case_streams import every_stream, genai_streams
from redis import Redis
from ways import (
    MODEL,
    Ask,
    Way,
    genai_client,
    generativeai,
    grpc_channel,
    protocol,
    transport_of,
)

from circuit_in_redis import CircuitInRedis, ServiceDownError, new_breaker, trip_and_wait
from sharedbreaker import AsyncCircuitBreaker, CircuitBreakerError
from sharedbreaker.demo.google_ai_server import Behaviour, Fault, GoogleAiService
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations import google_genai, google_generativeai

pytestmark = of_google


@every_way
@pytest.mark.parametrize("ask", [Ask.STREAM, Ask.CHAT_STREAM])
@pytest.mark.parametrize(
    "behaviour", [Behaviour(status=503), Behaviour(fault=Fault.RESET_MID_ANSWER)], ids=["503", "reset"]
)
def test_sb079_streams_that_fail_open_the_circuit(
    circuits: GoogleCircuits, way: Way, ask: Ask, behaviour: Behaviour
) -> None:
    """Before the first piece or after some, in a chat or not: five such streams open the circuit."""
    circuits.servers.behave(behaviour)
    *errors, rejection = circuits.calls(way, [ask] * 6)

    assert all(isinstance(error, Exception) for error in errors)
    assert isinstance(rejection, CircuitBreakerError)
    tallies = {name: count for name, count in circuits.circuit().tallies().items() if count}
    assert tallies == {"failed_calls": 5, "rejected_calls": 1}


@every_way
@pytest.mark.parametrize("ask", [Ask.STREAM, Ask.CHAT_STREAM])
def test_sb079_a_stream_that_ends_well_is_one_success(circuits: GoogleCircuits, way: Way, ask: Ask) -> None:
    """Its pieces are those of the SDK, and one call is counted for all of them."""
    unguarded, guarded = way.call(circuits.servers.address, ask, 10), circuits.calls(way, [ask])[0]

    assert [type(piece) for piece in guarded] == [type(piece) for piece in unguarded]
    assert len(guarded) > 1
    assert "".join(piece.text for piece in guarded) == "You asked: hi"
    tallies = {name: count for name, count in circuits.circuit().tallies().items() if count}
    assert tallies == {"successful_calls": 1}


@every_stream
def test_sb079_a_probe_is_under_way_until_its_last_piece(circuits: GoogleCircuits, streams: Any) -> None:
    """It keeps its place while it is read, and only its end closes the circuit."""
    circuits.pairs = circuits.new_pairs(half_open_max_calls=1)
    circuit = circuits.trip_and_wait()
    with streams(circuits) as start:
        pieces = iter(start())
        next(pieces)
        assert circuit.field("state") == "half_open"
        assert len(circuit.leases()) == 1
        assert isinstance(raised_by(lambda: list(start())), CircuitBreakerError)
        assert list(pieces)

    assert circuit.field("state") == "closed"
    assert circuit.leases() == {}


@every_stream
def test_sb079_a_probe_that_breaks_off_has_failed(circuits: GoogleCircuits, streams: Any) -> None:
    """An error after the first piece opens the circuit again."""
    circuit = circuits.trip_and_wait()
    circuits.servers.behave(Behaviour(fault=Fault.RESET_MID_ANSWER))
    states: list[str | None] = []
    with streams(circuits) as start:

        def read() -> None:
            # gRPC reads ahead, and may know of the error before anybody has read a piece.
            pieces = iter(start())
            next(pieces)
            states.append(circuit.field("state"))
            list(pieces)

        assert not isinstance(raised_by(read), CircuitBreakerError)

    assert "closed" not in states
    assert circuit.field("state") == "open"
    assert circuit.transitions()["half_open_to_open"] == 1


@every_stream
def test_sb079_a_stream_that_outlives_its_lease_is_lost(circuits: GoogleCircuits, streams: Any) -> None:
    """A probe's stream that takes longer than `probe_timeout` decides nothing: its place is another's."""
    circuits.pairs = circuits.new_pairs(half_open_max_calls=1, probe_timeout=1)
    circuit = circuits.trip_and_wait()
    with streams(circuits) as start:
        long = iter(start())
        next(long)
        circuit.elapse(1000)
        another = iter(start())
        next(another)
        assert list(long)
        assert circuit.field("state") == "half_open"
        assert list(another)

    assert circuit.field("state") == "closed"
    assert circuit.numbers("lost_calls", "successful_calls") == {"lost_calls": 1, "successful_calls": 1}


@needs_genai
def test_sb079_pieces_come_at_once(circuits: GoogleCircuits) -> None:
    """The first piece is there while the service has not sent the rest."""
    circuits.servers.rest.behave(GoogleAiService.TEXT, Behaviour(fault=Fault.HANG_MID_ANSWER))
    with genai_streams(circuits) as start:
        pieces = start()
        assert next(pieces).text
        circuits.servers.rest.heal(GoogleAiService.TEXT)
        assert list(pieces)


def broken(pieces: int) -> Iterator[int]:
    yield from range(pieces)
    raise ServiceDownError("503")


@pytest.mark.parametrize("pieces", [0, 2])
@pytest.mark.parametrize("max_staleness", [0.0, 3600.0], ids=["strict", "stale"])
def test_sb079_generators_of_ones_own_fail_where_they_raise(
    redis: Redis, pieces: int, max_staleness: float
) -> None:
    """A generator function under a breaker counts where it raises, before its first piece or later."""
    breaker = new_breaker(redis, max_staleness=max_staleness)
    for _ in range(3):
        with pytest.raises(ServiceDownError):
            list(breaker.call(broken, pieces))
    with pytest.raises(CircuitBreakerError):
        list(breaker.call(broken, pieces))

    assert CircuitInRedis(redis).number("failed_calls") == 3


async def broken_async(pieces: int) -> AsyncIterator[int]:
    for piece in range(pieces):
        yield piece
    raise ServiceDownError("503")


@pytest.mark.parametrize("pieces", [0, 2])
@pytest.mark.parametrize("max_staleness", [0.0, 3600.0], ids=["strict", "stale"])
def test_sb079_async_generators_of_ones_own_fail_where_they_raise(
    redis: Redis, redis_server: RedisServer, pieces: int, max_staleness: float
) -> None:
    """The same for an async generator function under the breaker for event loops."""
    breaker = AsyncCircuitBreaker(
        name="own", redis=redis_server.url, redis_timeout=5, failure_threshold=3, max_staleness=max_staleness
    )

    async def read() -> list[int]:
        return [piece async for piece in breaker.call(broken_async, pieces)]

    async def main() -> None:
        for _ in range(3):
            with pytest.raises(ServiceDownError):
                await read()
        with pytest.raises(CircuitBreakerError):
            await read()

    asyncio.run(main())
    assert CircuitInRedis(redis, "own").number("failed_calls") == 3


@every_stream
@pytest.mark.parametrize("kept", [False, True], ids=["dropped", "kept"])
def test_sb081_a_stream_that_nobody_reads_takes_no_place_for_ever(
    circuits: GoogleCircuits, streams: Any, kept: bool
) -> None:
    """Dropped, it is given back when it is collected; kept, its lease ends. No success is counted for it.

    google-genai's takes nothing until it is read; google-generativeai sends its request where it is made.
    """
    circuits.pairs = circuits.new_pairs(half_open_max_calls=1, probe_timeout=1 if kept else 60)
    circuit = circuits.trip_and_wait()
    with streams(circuits) as start:
        stream = start()
        takes_nothing = streams is genai_streams
        assert len(circuit.leases()) == (0 if takes_nothing else 1)
        if kept:
            circuit.elapse(1000)
        else:
            del stream
            gc.collect()
            until(lambda: circuit.leases() == {}, "the dropped stream is given back")
        assert circuit.number("successful_calls") == 0
        assert "".join(piece.text for piece in start()) == "You asked: hi"

    assert circuit.field("state") == "closed"
    ended = {"lost_calls": 1} if kept else {"released_calls": 1}
    expected = {"failed_calls": 5, "successful_calls": 1, **({} if takes_nothing else ended)}
    assert {name: count for name, count in circuit.tallies().items() if count} == expected


@needs_genai
def test_sb081_an_async_stream_that_nobody_reads_takes_nothing(circuits: GoogleCircuits) -> None:
    """Neither where it is made nor where it is dropped is the breaker or the service asked anything."""
    circuits.pairs = circuits.new_pairs(half_open_max_calls=1)
    circuit = circuits.trip_and_wait()

    async def main() -> None:
        async with google_genai.guard(
            genai_client(circuits.servers.address, 10), **circuits.pairs
        ).aio as aio:
            dropped = await aio.models.generate_content_stream(model=MODEL, contents="hi")
            kept = await aio.models.generate_content_stream(model=MODEL, contents="hi")
            del dropped
            gc.collect()
            assert circuits.requests() == 0
            assert circuit.field("state") == "open"
            assert [piece async for piece in kept]

    asyncio.run(main())
    assert circuit.field("state") == "closed"


@needs_generativeai
@pytest.mark.parametrize("kept", [False, True], ids=["dropped", "kept"])
def test_sb081_an_async_stream_of_the_old_sdk_ends_unread(circuits: GoogleCircuits, kept: bool) -> None:
    """As its sync one: given back when it is collected, or when its lease ends."""
    circuits.pairs = circuits.new_pairs(half_open_max_calls=1, probe_timeout=1)
    circuit = circuits.trip_and_wait()

    async def main() -> None:
        async with grpc_channel(circuits.servers.address, asynchronous=True) as channel:
            model = generativeai().GenerativeModel(MODEL)
            transport = transport_of("generative_service", channel, asynchronous=True)
            model._async_client = protocol().GenerativeServiceAsyncClient(transport=transport)
            guarded = google_generativeai.guard(model, **circuits.pairs)
            stream = await guarded.generate_content_async("hi", stream=True)
            assert len(circuit.leases()) == 1
            if kept:
                circuit.elapse(1000)
            else:
                del stream
                gc.collect()
                await asyncio.to_thread(
                    until, lambda: circuit.leases() == {}, "the dropped stream is given back"
                )
            assert circuit.number("successful_calls") == 0
            assert (await guarded.generate_content_async("hi")).text == "You asked: hi"

    asyncio.run(main())
    assert circuit.field("state") == "closed"


def pieces_of_ones_own() -> Iterator[int]:
    yield from range(3)


def test_sb081_a_generator_that_nobody_reads_takes_nothing(redis: Redis) -> None:
    """A generator function's call is admitted where its first piece is read, and not before."""
    breaker = new_breaker(redis, half_open_max_calls=1, success_threshold=1)
    circuit = trip_and_wait(breaker, redis)
    kept = breaker.call(pieces_of_ones_own)
    breaker.call(pieces_of_ones_own)
    gc.collect()

    assert circuit.field("state") == "open"
    assert list(kept) == [0, 1, 2]
    assert circuit.field("state") == "closed"
