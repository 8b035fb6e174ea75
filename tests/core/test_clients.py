"""Clients: whatever the user's client is set to, the circuit is the same to the byte."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis as redis_py
from redis import Redis
from redis._parsers import _HiredisParser, _RESP2Parser, _RESP3Parser
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from circuit_in_redis import (
    OPEN_MS,
    CircuitInRedis,
    be_ignored,
    be_rejected,
    fail,
    new_breaker,
    succeed,
)
from sharedbreaker import CircuitBreaker
from sharedbreaker.demo.redis_server import RedisServer

KINDS: dict[str, dict[str, Any]] = {
    "default": {},
    "text": {"decode_responses": True},
    "bytes": {"decode_responses": False},
    "latin-1 text": {"decode_responses": True, "encoding": "latin-1"},
    "latin-1 bytes": {"decode_responses": False, "encoding": "latin-1"},
    "RESP2 bytes": {"protocol": 2},
    "RESP2 text": {"protocol": 2, "decode_responses": True},
    "RESP3 bytes": {"protocol": 3},
    "RESP3 text": {"protocol": 3, "decode_responses": True},
    "RESP2 without hiredis": {"protocol": 2, "parser_class": _RESP2Parser},
    "RESP3 without hiredis": {"protocol": 3, "parser_class": _RESP3Parser},
    "RESP3 text without hiredis": {"protocol": 3, "parser_class": _RESP3Parser, "decode_responses": True},
    "RESP2 with hiredis": {"protocol": 2, "parser_class": _HiredisParser},
    "RESP3 with hiredis": {"protocol": 3, "parser_class": _HiredisParser},
    "other settings": {
        "health_check_interval": 1,
        "client_name": "shop",
        "socket_keepalive": True,
        "encoding_errors": "ignore",
    },
}
REASON = "Wartung für ünf Minuten"


def client_of(port: int, **settings: Any) -> Redis:
    """A user's client with a pool of its own, which takes every setting there is."""
    return Redis(connection_pool=redis_py.ConnectionPool(host="127.0.0.1", port=port, **settings))


@pytest.fixture(params=list(KINDS))
def client(request: pytest.FixtureRequest, redis_server: RedisServer, redis: Redis) -> Iterator[Redis]:
    client = client_of(redis_server.port, **KINDS[request.param])
    yield client
    client.close()


def live_a_life(breaker: CircuitBreaker, circuit: CircuitInRedis) -> None:
    """Every state and every act once."""
    succeed(breaker)
    be_ignored(breaker)
    fail(breaker, 3)
    be_rejected(breaker)
    circuit.elapse(OPEN_MS)
    succeed(breaker, 2)
    breaker.force_open(REASON, who="Zoë")
    be_rejected(breaker)
    breaker.disable(REASON)
    fail(breaker)
    breaker.enable()
    breaker.force_close()


def test_life_is_the_same_with_every_client(client: Redis, redis: Redis) -> None:
    """States, tallies, transitions and metrics of a whole life do not depend on the client's settings."""
    breaker = new_breaker(client)
    circuit = CircuitInRedis(redis)

    live_a_life(breaker, circuit)

    metrics = breaker.get_metrics()
    assert (metrics["state"], metrics["mode"], metrics["total_calls"]) == ("closed", "automatic", 10)
    assert circuit.tallies() == {
        "successful_calls": 3,
        "failed_calls": 4,
        "rejected_calls": 2,
        "ignored_calls": 1,
        "released_calls": 0,
        "lost_calls": 0,
        "late_results": 0,
    }
    assert circuit.transitions() == {
        "closed_to_open": 2,
        "open_to_half_open": 1,
        "half_open_to_closed": 1,
        "open_to_closed": 1,
    }


def test_text_in_redis_is_utf_8_with_every_client(client: Redis, redis_server: RedisServer) -> None:
    """Reasons and names are the same bytes in Redis whatever encoding the client has."""
    new_breaker(client).force_open(REASON, who="Zoë")

    raw = redis_server.client()
    stored: Any = raw.hmget("sharedbreaker:{orders}", "held_reason", "held_by")
    raw.close()
    assert stored == [REASON.encode(), "Zoë".encode()]


def test_text_is_read_back_with_every_client(client: Redis) -> None:
    """Reasons and names come back as they were written."""
    breaker = new_breaker(client)
    breaker.force_open(REASON, who="Zoë")

    metrics = breaker.get_metrics()

    assert (metrics["held_reason"], metrics["held_by"], metrics["state"]) == (REASON, "Zoë", "open")


def test_clients_of_all_kinds_share_one_circuit(redis_server: RedisServer, redis: Redis) -> None:
    """Failures seen through clients of different kinds add up, and all are rejected."""
    clients = [client_of(redis_server.port, **settings) for settings in KINDS.values()]
    breakers = [new_breaker(client, failure_threshold=len(clients)) for client in clients]

    for breaker in breakers:
        fail(breaker)

    for breaker in breakers:
        be_rejected(breaker)
    for client in clients:
        client.close()


def test_users_client_is_left_as_it_was(client: Redis, redis: Redis) -> None:
    """The user's client keeps every setting, its retries and its pool, and is not used."""
    pool = client.connection_pool
    before = {name: value for name, value in pool.connection_kwargs.items() if name != "retry"}
    retry, attempts = client.get_retry(), pool.connection_kwargs.get("retry")

    live_a_life(new_breaker(client), CircuitInRedis(redis))

    assert client.connection_pool is pool
    assert {name: value for name, value in pool.connection_kwargs.items() if name != "retry"} == before
    assert client.get_retry() is retry
    assert pool.connection_kwargs.get("retry") is attempts
    assert pool._available_connections == []


def test_retries_of_the_users_client_are_left_alone(redis_server: RedisServer, redis: Redis) -> None:
    """A client that retries five times does so after a breaker was made of it, as before."""
    client = Redis(
        port=redis_server.port, retry=Retry(ConstantBackoff(0), 5), retry_on_error=[redis_py.ReadOnlyError]
    )
    before = copy.copy(client.get_retry())

    succeed(new_breaker(client))

    after = client.get_retry()
    assert after is not None
    assert before is not None
    assert vars(after) == vars(before)
    client.close()


def test_client_may_be_closed_by_its_user(redis_server: RedisServer, redis: Redis) -> None:
    """A breaker whose user closed the client goes on working."""
    client = Redis(port=redis_server.port)
    breaker = new_breaker(client)
    succeed(breaker)

    client.close()
    client.connection_pool.disconnect()

    succeed(breaker)
    assert CircuitInRedis(redis).number("successful_calls") == 2


def test_client_whose_pool_is_small_or_taken_stops_nobody(redis_server: RedisServer, redis: Redis) -> None:
    """Many calls at once run with a client of two connections that other code has taken."""
    client = client_of(redis_server.port, max_connections=2)
    taken = [client.pubsub() for _ in range(2)]
    for subscriber in taken:
        subscriber.subscribe("somewhere")
    breaker = new_breaker(client)
    everybody_inside = threading.Barrier(30)

    threads = [threading.Thread(target=breaker.call, args=(everybody_inside.wait, 20)) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert CircuitInRedis(redis).number("successful_calls") == 30
    for subscriber in taken:
        subscriber.close()
    client.close()


def test_no_connection_is_held_during_a_call(redis_server: RedisServer, redis: Redis) -> None:
    """However many calls one thread has under way, the breaker keeps a single connection for them."""
    client = Redis(port=redis_server.port, client_name="counted")
    breaker = new_breaker(client)
    admissions = [breaker.admit() for _ in range(40)]

    listed: Any = redis.client_list()

    assert len(admissions) == 40
    assert len([connection for connection in listed if connection["name"] == "counted"]) == 1
    client.close()


@pytest.mark.parametrize(
    "pool",
    [
        lambda port: redis_py.ConnectionPool(host="127.0.0.1", port=port),
        lambda port: redis_py.BlockingConnectionPool(
            host="127.0.0.1", port=port, max_connections=1, timeout=1
        ),
        lambda port: redis_py.ConnectionPool.from_url(f"redis://127.0.0.1:{port}/0?decode_responses=true"),
    ],
    ids=["pool", "blocking pool", "pool from URL"],
)
def test_client_may_have_any_pool(
    redis_server: RedisServer, redis: Redis, pool: Callable[[int], Any]
) -> None:
    """A client over any kind of pool works."""
    client = Redis(connection_pool=pool(redis_server.port))
    breaker = new_breaker(client)

    fail(breaker, 3)

    be_rejected(breaker)
    assert CircuitInRedis(redis).field("state") == "open"
    client.close()


def test_single_connection_client_works(redis_server: RedisServer, redis: Redis) -> None:
    """A client that owns a single connection lends its address only."""
    client = Redis(port=redis_server.port, single_connection_client=True)

    succeed(new_breaker(client), 3)

    assert client.ping() is True
    assert CircuitInRedis(redis).number("successful_calls") == 3
    client.close()


def test_database_of_the_client_is_used(redis_server: RedisServer, redis: Redis) -> None:
    """The circuit is in the client's database and in no other."""
    client = Redis(port=redis_server.port, db=3, decode_responses=True)

    succeed(new_breaker(client))

    assert redis.dbsize() == 0
    assert CircuitInRedis(client).number("successful_calls") == 1
    client.flushdb()
    client.close()
