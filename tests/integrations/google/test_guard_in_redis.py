"""Guards with real breakers: what happens to a client happens to the fleet."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from recorded import until
from redis import Redis
from sdk_servers import Servers
from sdk_servers import all_servers as all_servers
from sdk_servers import servers as servers
from ways import HAS_GENAI, MODEL, genai_client

from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, CircuitBreakerError
from sharedbreaker.demo.google_ai_server import Behaviour, Fault, GoogleAiService, Quota, draw_png
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.google_genai import guard, outcome_of

if not HAS_GENAI:
    pytest.skip("google-genai is not installed", allow_module_level=True)

from google.genai import errors, types

PICTURE = types.Part.from_bytes(data=draw_png("subject"), mime_type="image/png")


def breakers(redis: Redis, **settings: Any) -> dict[str, Any]:
    return {
        role: CircuitBreaker(name=role, failure_threshold=2, timeout=60, redis=redis, **settings)
        for role in ("text", "vision", "imagen")
    }


def test_an_outage_of_one_service_stops_that_one_for_every_process(servers: Servers, redis: Redis) -> None:
    """Two failures of vision open its circuit, for another client as well; text goes on."""
    with genai_client(servers.address, 10) as one, genai_client(servers.address, 10) as another:
        here, there = guard(one, **breakers(redis)), guard(another, **breakers(redis))
        servers.rest.behave(GoogleAiService.VISION, Behaviour(status=503))
        for client in (here, there):
            with pytest.raises(errors.ServerError):
                client.models.generate_content(model=MODEL, contents=[PICTURE])
        requests = servers.rest.books(GoogleAiService.VISION).answered
        for client in (here, there):
            with pytest.raises(CircuitBreakerError) as caught:
                client.models.generate_content(model=MODEL, contents=[PICTURE])
            assert client.models.generate_content(model=MODEL, contents="hi").text == "You asked: hi"

    assert caught.value.name == "vision"
    assert servers.rest.books(GoogleAiService.VISION).answered == requests == {"503": 2}
    assert redis.hget("sharedbreaker:{vision}", "failed_calls") == "2"
    assert redis.hget("sharedbreaker:{text}", "successful_calls") == "2"


def test_a_quota_keeps_the_fleet_away_for_as_long_as_google_says(servers: Servers, redis: Redis) -> None:
    """What is left of it is the rejection's `retry_after`."""
    servers.behave(Behaviour(status=429, quota=Quota.PER_MINUTE, retry_after=200))
    with genai_client(servers.address, 10) as client:
        guarded = guard(client, **breakers(redis))
        for _ in range(2):
            with pytest.raises(errors.ClientError):
                guarded.models.generate_content(model=MODEL, contents="hi")
        with pytest.raises(CircuitBreakerError) as caught:
            guarded.models.generate_content(model=MODEL, contents="hi")

    assert caught.value.retry_after is not None
    assert 190 < caught.value.retry_after <= 200


def test_a_stream_that_is_left_leaves_no_lease(servers: Servers, redis: Redis) -> None:
    """A closed stream is a released call, and nothing is in flight any more."""
    with genai_client(servers.address, 10) as client:
        stream: Any = guard(client, **breakers(redis)).models.generate_content_stream(
            model=MODEL, contents="hi"
        )
        next(stream)
        assert redis.zcard("sharedbreaker:{text}:leases") == 1
        stream.close()

    assert redis.zcard("sharedbreaker:{text}:leases") == 0
    assert redis.hget("sharedbreaker:{text}", "released_calls") == "1"


def test_async_calls_share_the_circuit(servers: Servers, redis_server: RedisServer, redis: Redis) -> None:
    """Whole, failed, rejected, streamed, left, dropped, cancelled: the hash has it all, and no lease."""
    service = GoogleAiService.TEXT
    ask = {"model": MODEL, "contents": "hi"}

    async def main() -> None:
        text = AsyncCircuitBreaker(
            name="text", failure_threshold=1, timeout=60, redis=redis_server.url, redis_timeout=5
        )
        async with guard(genai_client(servers.address, 10), text=text).aio as client:
            start = client.models.generate_content_stream
            assert (await client.models.generate_content(**ask)).text == "You asked: hi"
            assert [piece async for piece in await start(**ask)]
            left: Any = await start(**ask)
            await anext(left)
            await left.aclose()
            dropped = await start(**ask)
            await anext(dropped)
            del dropped
            gc.collect()
            servers.rest.behave(service, Behaviour(fault=Fault.HANG))
            cancelled = asyncio.ensure_future(client.models.generate_content(**ask))
            await until(lambda: servers.rest.books(service).in_flight > 0)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            await until(lambda: redis.zcard("sharedbreaker:{text}:leases") == 0)
            servers.rest.behave(service, Behaviour(status=429, quota=Quota.PER_MINUTE, retry_after=200))
            with pytest.raises(errors.ClientError):
                await client.models.generate_content(**ask)
            with pytest.raises(CircuitBreakerError) as caught:
                await client.models.generate_content(**ask)
            assert caught.value.retry_after is not None
            assert 190 < caught.value.retry_after <= 200

    asyncio.run(main())
    fields = redis.hgetall("sharedbreaker:{text}")
    tallies = ("successful_calls", "failed_calls", "rejected_calls", "ignored_calls", "released_calls")
    assert [fields[name] for name in tallies] == ["2", "1", "1", "0", "3"]


def test_outcome_of_serves_as_expected_exception(servers: Servers, redis: Redis) -> None:
    """A breaker that is given it ignores a bad request, and counts an outage."""
    breaker = CircuitBreaker(name="text", redis=redis, expected_exception=outcome_of)
    with genai_client(servers.address, 10) as client:
        for status in (400, 499, 503):
            servers.behave(Behaviour(status=status))
            with pytest.raises(errors.APIError):
                breaker.call(client.models.generate_content, model=MODEL, contents="hi")
    fields = redis.hgetall("sharedbreaker:{text}")

    assert [fields[f"{name}_calls"] for name in ("failed", "ignored", "released")] == ["1", "1", "1"]
