"""Redis Sentinel: a master, a replica and three sentinels, with failovers under traffic."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis
from topology_lifecycle import (
    SCHEDULING,
    SharedCircuit,
    check_lifecycle,
    is_shared,
    new_breaker,
    succeed,
    tallies_of,
    wait_until,
    wait_until_shared,
)
from topology_sentinel import SERVICE, SentinelSetup, running_sentinels
from topology_traffic import Traffic

from sharedbreaker import CircuitBreaker

REDIS_TIMEOUT = 0.5


@pytest.fixture
def setup() -> Iterator[SentinelSetup]:
    with running_sentinels() as setup:
        yield setup


def breaker_of(setup: SentinelSetup) -> CircuitBreaker:
    return new_breaker(setup.sentinel().master_for(SERVICE), redis_timeout=REDIS_TIMEOUT)


def admin_of(setup: SentinelSetup, port: int) -> Redis:
    (server,) = (server for server in setup.servers if server.port == port)
    return server.client(decode_responses=True)


def check_books(traffic: Traffic, before: int, breaker: CircuitBreaker) -> None:
    """Compare what Redis holds with the callers' own books.

    Replication is asynchronous: what a master answered and could not hand on is gone. Nothing may be there
    twice, and the parts add up.
    """
    tallies = tallies_of(breaker)
    assert tallies["total_calls"] == tallies["successful_calls"]
    assert 0 < tallies["successful_calls"] <= traffic.counts(breaker.name)["success"] + before


def check_exactness(traffic: Traffic, breakers: list[CircuitBreaker]) -> None:
    """See that from now on every call is counted, whichever of the breakers it takes."""
    wait_until_shared(*breakers)
    wait_until(lambda: tallies_of(breakers[0]) == tallies_of(breakers[1]), "both look at one server")
    before = tallies_of(breakers[0])["total_calls"]
    for breaker in breakers:
        succeed(breaker, 10)
    for breaker in breakers:
        assert tallies_of(breaker)["total_calls"] == before + 20


def test_failover_by_hand_under_traffic(setup: SentinelSetup) -> None:
    """Through a failover that an operator asks for no call fails or hangs, and then all is shared again."""
    breakers = [breaker_of(setup), breaker_of(setup)]
    old_port = setup.master_port()
    old_master = admin_of(setup, old_port)
    check_lifecycle(breakers[0], breakers[1], SharedCircuit(old_master))
    old_master.flushall()

    with Traffic(breakers) as traffic:
        traffic.wait_for_calls(200)
        setup.fail_over()
        setup.wait_for_another_master(old_port)
        # Sentinel does this by itself some ten seconds later. Until then the old master takes writes that
        # nobody will ever see, from all who were connected to it; its connections stay open.
        old_master.replicaof("127.0.0.1", str(setup.master_port()))
        wait_until_shared(*breakers)
        traffic.wait_for_calls(200)

    old_master.close()
    check_exactness(traffic, breakers)
    check_books(traffic, 20, breakers[0])
    assert traffic.longest < REDIS_TIMEOUT + SCHEDULING + traffic.stood_still


def test_master_killed_under_traffic(setup: SentinelSetup) -> None:
    """When the master dies, and a sentinel with it, calls go on at once and share again within seconds."""
    breakers = [breaker_of(setup), breaker_of(setup)]
    for breaker in breakers:
        succeed(breaker)
    old_port = setup.master_port()
    with Traffic(breakers) as traffic:
        traffic.wait_for_calls(200)
        setup.servers[0].kill()
        setup.sentinels[0].kill()
        traffic.wait_for_calls(200)
        assert not is_shared(breakers[0])
        setup.wait_for_another_master(old_port)
        wait_until_shared(*breakers)
        traffic.wait_for_calls(200)

    check_exactness(traffic, breakers)
    check_books(traffic, 2 + 20, breakers[0])
    assert traffic.longest < REDIS_TIMEOUT + SCHEDULING + traffic.stood_still


def test_no_sentinel_at_all_never_fails_a_call(setup: SentinelSetup) -> None:
    """A process that finds no sentinel decides locally, in bounded time."""
    for sentinel in setup.sentinels:
        sentinel.kill()
    breaker = breaker_of(setup)
    with Traffic([breaker], threads=4) as traffic:
        traffic.wait_for_calls(400)

    assert not is_shared(breaker)
    assert traffic.longest < REDIS_TIMEOUT + SCHEDULING + traffic.stood_still
