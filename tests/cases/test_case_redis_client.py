"""Cases SB-040 and SB-041: the client that is handed in, whatever it makes of replies."""

from __future__ import annotations

from typing import Any

import pytest
import redis as redis_py
import redis.asyncio as redis_asyncio
from case_variants import both_kinds
from case_whole_life import REASON, left_in, live
from redis import Redis
from redis._parsers import (
    _AsyncHiredisParser,
    _AsyncRESP2Parser,
    _AsyncRESP3Parser,
    _HiredisParser,
    _RESP2Parser,
    _RESP3Parser,
)
from topology_children import Child

from circuit_in_redis import NAME, CircuitInRedis, be_rejected, fail, new_breaker
from sharedbreaker import Outcome
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.store.fleet import Fleet

CODINGS: dict[str, dict[str, Any]] = {
    "text": {"decode_responses": True},
    "bytes": {"decode_responses": False},
    "latin-1 text": {"decode_responses": True, "encoding": "latin-1"},
    "latin-1 bytes": {"decode_responses": False, "encoding": "latin-1"},
}
PARSERS = {
    "RESP2": (2, _RESP2Parser, _AsyncRESP2Parser),
    "RESP3": (3, _RESP3Parser, _AsyncRESP3Parser),
    "RESP2 by hiredis": (2, _HiredisParser, _AsyncHiredisParser),
    "RESP3 by hiredis": (3, _HiredisParser, _AsyncHiredisParser),
}
LIBRARIES = ("redis", "redis.asyncio")


def client_of(library: str, port: int, **settings: Any) -> Any:
    """A client of either library, over a pool that takes every setting."""
    if library == "redis":
        return Redis(connection_pool=redis_py.ConnectionPool(host="127.0.0.1", port=port, **settings))
    return redis_asyncio.Redis(
        connection_pool=redis_asyncio.ConnectionPool(host="127.0.0.1", port=port, **settings)
    )


@pytest.fixture(scope="module")
def as_by_url(redis_server: RedisServer) -> dict[bytes, Any]:
    """What a life leaves in Redis where the breaker was given a URL."""
    redis = redis_server.client(decode_responses=True)
    redis.flushall()
    live(new_breaker(redis_server.url), CircuitInRedis(redis))
    left = left_in(redis_server)
    redis.close()
    return left


@both_kinds
@pytest.mark.parametrize("coding", list(CODINGS))
@pytest.mark.parametrize("library", LIBRARIES)
def test_sb040_whole_life_leaves_the_same_bytes(
    redis_server: RedisServer, as_by_url: dict[bytes, Any], redis: Redis, library: str, coding: str
) -> None:
    """Whatever a client decodes and however, a life over it leaves the bytes that a URL's life leaves."""
    breaker = new_breaker(client_of(library, redis_server.port, **CODINGS[coding]))

    live(breaker, CircuitInRedis(redis))

    assert left_in(redis_server) == as_by_url
    assert REASON.encode() in [event.get(b"reason") for event in as_by_url[b"events"]]


@both_kinds
@pytest.mark.parametrize("coding", list(CODINGS))
def test_sb040_list_and_scrape_show_text(redis_server: RedisServer, redis: Redis, coding: str) -> None:
    """List, state, metrics and the scrape say `open`, and never `b'open'`, whatever the client decodes."""
    client = client_of("redis", redis_server.port, **CODINGS[coding])
    breaker = new_breaker(client)
    fail(breaker, 3)

    (seen,) = Fleet(client).look().circuits

    assert (seen.name, seen.state.value) == (NAME, "open")
    assert breaker.get_state()["state"] == breaker.get_metrics()["state"] == "open"
    assert breaker.snapshot().metrics_dict()["state_transitions"]["closed_to_open"] == 1
    assert f'circuit_breaker_state{{name="{NAME}"}} 2' in breaker.export_prometheus_metrics()
    assert "b'" not in f"{breaker.get_metrics()} {seen} {breaker.export_prometheus_metrics()}"


@both_kinds
def test_sb040_processes_of_two_codings_know_each_others_probes(
    redis_server: RedisServer, redis: Redis
) -> None:
    """Two processes whose clients decode differently share one circuit; each one's probe is its own."""
    circuit = CircuitInRedis(redis)
    settings = {"failure_threshold": 3, "success_threshold": 2}
    breaker = new_breaker(client_of("redis", redis_server.port, **CODINGS["latin-1 bytes"]), **settings)
    with Child(f"{redis_server.url}?protocol=3", **settings) as child:
        fail(breaker, 2)
        assert child.ask("fail") == "failure"
        be_rejected(breaker)
        assert child.ask("succeed")["rejected"] == "open"
        circuit.end_open_period()
        probe = breaker.admit()
        assert child.ask("succeed") == "done"
        assert (circuit.number("success_count"), list(circuit.leases())) == (1, [probe.token])
        breaker.report(probe, Outcome.SUCCESS)
        assert child.ask("metrics")["state"] == circuit.field("state") == "closed"


@both_kinds
@pytest.mark.parametrize("parser", list(PARSERS))
@pytest.mark.parametrize("library", LIBRARIES)
def test_sb041_whole_life_is_the_same_whatever_shapes_replies_have(
    redis_server: RedisServer, as_by_url: dict[bytes, Any], redis: Redis, library: str, parser: str
) -> None:
    """RESP2 or RESP3, read by hiredis or without: a life leaves the same bytes, and all is shown."""
    protocol, for_threads, for_loops = PARSERS[parser]
    parser_class = for_threads if library == "redis" else for_loops
    client = client_of(library, redis_server.port, protocol=protocol, parser_class=parser_class)
    breaker = new_breaker(client)

    live(breaker, CircuitInRedis(redis))

    assert left_in(redis_server) == as_by_url
    shown = breaker.snapshot()
    assert {name.encode() for name in shown.fields} == as_by_url[b"fields"].keys()
    assert breaker.get_metrics()["total_calls"] == 12
    fleet = Fleet(client)
    assert [circuit.fields for circuit in fleet.look().circuits] == [shown.fields]
    assert len(fleet.histories([NAME], 100)[NAME]) == len(as_by_url[b"events"])


@both_kinds
@pytest.mark.parametrize("protocol", [2, 3])
def test_sb041_url_may_name_the_protocol(
    redis_server: RedisServer, redis: Redis, breaker_kind: str, protocol: int
) -> None:
    """The protocol that a URL names is the one that Redis is spoken to in, and changes no answer."""
    name = f"told-{breaker_kind}-{protocol}"
    breaker = new_breaker(f"{redis_server.url}?protocol={protocol}&client_name={name}")

    fail(breaker, 3)

    assert be_rejected(breaker).state.value == "open"
    told: Any = redis.client_list()
    assert {one["resp"] for one in told if one["name"] == name} == {str(protocol)}
