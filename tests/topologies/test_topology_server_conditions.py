"""A server that runs, but loads, is out of memory, is busy, is full, or does not take writes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from redis import Redis
from topology_lifecycle import (
    SCHEDULING,
    SharedCircuit,
    be_ignored,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    wait_for_tallies,
    wait_until,
    wait_until_shared,
    wait_until_told,
)
from topology_troubles import (
    SERVER_OPTIONS,
    at_maxclients,
    busy_in_a_script,
    loading,
    not_saving,
    out_of_memory,
)

from sharedbreaker import StoreError
from sharedbreaker.demo.redis_server import RedisServer

Trouble = Callable[[RedisServer, Redis], AbstractContextManager[None]]
WORDS: dict[Trouble, str] = {
    out_of_memory: "maxmemory",
    busy_in_a_script: "BUSY",
    at_maxclients: "max number of clients",
    not_saving: "MISCONF",
    loading: "loading",
}
"""What Redis says of each trouble, and the log repeats."""
TROUBLES = list(WORDS)
REDIS_TIMEOUT = 0.5
RETRY_INTERVAL = 0.1


def named(trouble: object) -> str:
    return str(getattr(trouble, "__name__", trouble))


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer(*SERVER_OPTIONS) as server:
        yield server


@pytest.fixture
def admin(server: RedisServer) -> Iterator[Redis]:
    client = server.client(decode_responses=True)
    client.flushall()
    yield client
    client.close()


@pytest.mark.parametrize("is_new", [False, True], ids=["known", "new"])
@pytest.mark.parametrize("trouble", TROUBLES, ids=named)
def test_trouble(
    server: RedisServer, admin: Redis, caplog: pytest.LogCaptureFixture, trouble: Trouble, is_new: bool
) -> None:
    """Calls pass, failures open the circuit, few lines are logged; then it is shared, each call counted."""
    settings = {"redis_timeout": REDIS_TIMEOUT, "redis_retry_interval": RETRY_INTERVAL}
    breaker = new_breaker(server.url, **settings)
    if not is_new:
        succeed(breaker)
    with caplog.at_level(logging.WARNING, "sharedbreaker"), trouble(server, admin):
        began = time.monotonic()
        succeed(breaker)
        be_ignored(breaker)
        fail(breaker, 3)
        be_rejected(breaker, 200)
        # One wait for Redis at the most: whatever is tried later is tried by one call for all.
        assert time.monotonic() - began < REDIS_TIMEOUT + SCHEDULING
    wait_for_tallies(breaker, success=1 if is_new else 2, ignored=1, failure=3, rejected=200)

    assert len(caplog.records) <= 5
    # Out of memory, Redis takes scripts that free something first: calls of a known circuit are no trouble.
    assert WORDS[trouble] in caplog.text or (trouble is out_of_memory and not is_new)
    second = new_breaker(f"{server.url}?protocol=2", **settings)
    breaker.force_close()
    succeed(second)
    fail(breaker, 2)
    fail(second)
    be_rejected(breaker)
    be_rejected(second)
    wait_for_tallies(second, success=2 if is_new else 3, ignored=1, failure=6, rejected=202)
    circuit = SharedCircuit(admin)
    assert sum(int(event["calls"]) for event in circuit.away_events()) in {0, 205}
    assert circuit.leases() == 0


@pytest.mark.parametrize("trouble", TROUBLES[1:], ids=named)
def test_manual_control_in_trouble_is_refused(server: RedisServer, admin: Redis, trouble: Trouble) -> None:
    """An act that Redis does not take raises StoreError, says what to do, and changes nothing."""
    breaker = new_breaker(server.url, redis_timeout=REDIS_TIMEOUT, redis_retry_interval=RETRY_INTERVAL)
    succeed(breaker)
    circuit = SharedCircuit(admin)
    before = circuit.fields()
    with trouble(server, admin):
        for act in (breaker.force_open, breaker.disable):
            with pytest.raises(StoreError, match="try again when Redis answers"):
                act()
        succeed(breaker)
    wait_for_tallies(breaker, success=2)
    changed = {field for field, value in circuit.fields().items() if value != before[field]}

    assert changed == {"successful_calls"}
    assert [event for event in circuit.events() if event["why"] in {"force_open", "disable"}] == []


@pytest.mark.parametrize("trouble", [out_of_memory, not_saving], ids=named)
def test_server_that_takes_only_reads_is_not_back(
    server: RedisServer, admin: Redis, trouble: Trouble
) -> None:
    """Where Redis answers metrics but takes no writes, the process is degraded once, not again and again."""
    changes: list[bool] = []
    settings = {"redis_timeout": REDIS_TIMEOUT, "redis_retry_interval": 0.03}
    breaker = new_breaker(server.url, on_redis_change=changes.append, **settings)
    other = new_breaker(server.url, name="other", **settings)
    with trouble(server, admin):
        succeed(breaker)
        until = time.monotonic() + 10 * 0.03
        wait_until(lambda: other.get_metrics() and breaker.call(time.monotonic) > until, "ten tries")
        seen = list(changes)
    wait_until_shared(breaker)
    wait_until_told(changes)

    assert seen == [False]
    assert changes == [False, True]
