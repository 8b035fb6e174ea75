"""An ACL user with exactly the rights that sharedbreaker needs, and with one of them less."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from redis import Redis
from topology_lifecycle import (
    PREFIX,
    BadRequestError,
    ServiceDownError,
    SharedCircuit,
    be_rejected,
    check_lifecycle,
    fail,
    is_shared,
    new_breaker,
    passes,
    succeed,
    wait_for_tallies,
    wait_until,
)
from topology_proxy import Proxy

from sharedbreaker import CircuitBreaker, CircuitBreakerError, StoreError
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.store.scripts import script

KEY_PATTERN = f"~{PREFIX}:*"
RIGHTS = (
    *("EVALSHA", "EVAL", "SADD", "TIME"),
    *("HMGET", "HGET", "HGETALL", "HSET", "HSETNX", "HDEL", "HINCRBY"),
    *("ZADD", "ZREM", "ZSCORE", "ZCOUNT", "ZRANGE", "ZREMRANGEBYSCORE"),
    *("XADD", "XREVRANGE", "PEXPIRE", "PERSIST"),
)
"""All that is needed on one server, or behind Sentinel. A database other than 0 takes SELECT as well.

HELLO and AUTH are granted to everybody by Redis itself.
"""
SENT_BY_ITSELF = ("EVALSHA", "EVAL", "SADD")
"""Of these the commands that a client sends; all others are run by the scripts."""
USER = "breaker"
PASSWORD = "secret-of-the-breaker"
QUICK = {"redis_timeout": 2, "redis_retry_interval": 0.05, "idle_ttl": 100}


class User:
    """A user of the session's server whose rights are set by each test."""

    def __init__(self, server: RedisServer, admin: Redis) -> None:
        self.admin = admin
        self._server = server

    def may(self, *rights: str, keys: str = KEY_PATTERN) -> None:
        self.admin.acl_deluser(USER)
        words = [f"+{right.lower()}" for right in rights]
        self.admin.execute_command(
            "ACL", "SETUSER", USER, "on", f">{PASSWORD}", "resetchannels", keys, *words
        )

    def client(self, port: int | None = None, db: int = 0, protocol: int = 3) -> Redis:
        port = port or self._server.port
        return Redis(port=port, db=db, username=USER, password=PASSWORD, protocol=protocol)


@pytest.fixture
def user(redis_server: RedisServer, redis: Redis) -> Iterator[User]:
    redis.script_flush()
    # An answer that is cut must be one to the script, and not to its being unknown.
    redis.script_load(script("settle").source)
    user = User(redis_server, redis)
    yield user
    redis.acl_deluser(USER)


@pytest.mark.parametrize("protocol", [2, 3])
def test_listed_rights_suffice_for_a_whole_life(user: User, protocol: int) -> None:
    """With the listed rights and no others all states, acts and metrics work, also after SCRIPT FLUSH."""
    user.may(*RIGHTS)
    first, second = (new_breaker(user.client(protocol=protocol), **QUICK) for _ in range(2))

    check_lifecycle(first, second, SharedCircuit(user.admin), halfway=user.admin.script_flush)
    first.disable()
    second.enable()

    user.admin.script_flush()
    succeed(first)
    assert is_shared(first)
    assert is_shared(second)


def test_listed_rights_suffice_for_settling(user: User, redis_server: RedisServer) -> None:
    """With the listed rights what was tallied without Redis arrives, also where it has to be sent twice."""
    user.may(*RIGHTS)
    with Proxy(redis_server.port) as proxy:
        breaker = new_breaker(
            user.client(proxy.port), redis_timeout=0.25, redis_retry_interval=0.05, idle_ttl=100
        )
        succeed(breaker)
        proxy.is_silent = True
        succeed(breaker)
        fail(breaker)
        proxy.cut_answer_to(script("settle").sha)
        proxy.is_silent = False

        wait_for_tallies(breaker, success=2, failure=1)
        assert proxy.has_cut
        assert len(SharedCircuit(user.admin).away_events()) == 1


def test_other_database_takes_select(user: User) -> None:
    """In a database other than 0 SELECT is needed as well, and nothing else."""
    user.may(*RIGHTS, "SELECT")
    breaker = new_breaker(user.client(db=3), **QUICK)

    succeed(breaker)

    assert is_shared(breaker)
    user.admin.execute_command("SELECT", 3)
    user.admin.flushdb()
    user.admin.execute_command("SELECT", 0)


def walk(breaker: CircuitBreaker, circuit: SharedCircuit) -> None:
    """Use all that there is, and let nothing come out but the service's errors and honest rejections."""
    succeed(breaker)
    with pytest.raises(BadRequestError):
        breaker.call(raise_bad_request)
    # What Redis did not take note of is begun anew by the process itself, once.
    wait_until_open(breaker, most_failures=2 * 3)
    if circuit.state() == "open":
        circuit.end_open_period()
    for _ in range(4):
        passes(breaker)
    for act in (breaker.force_open, breaker.force_close, breaker.disable, breaker.enable, breaker.snapshot):
        with suppress(StoreError):
            act()
    assert breaker.get_metrics()["name"] == circuit.name


def wait_until_open(breaker: CircuitBreaker, most_failures: int) -> None:
    for _ in range(most_failures):
        with pytest.raises((ServiceDownError, CircuitBreakerError)) as caught:
            breaker.call(raise_service_down)
        if caught.type is CircuitBreakerError:
            return
    be_rejected(breaker)


def raise_bad_request() -> str:
    raise BadRequestError("400")


# Looked at only where a settlement has to be sent twice: see the last test.
WALKED = [right for right in RIGHTS if right != "XREVRANGE"]


@pytest.mark.parametrize("missing", WALKED)
def test_missing_right_never_fails_a_call(user: User, caplog: pytest.LogCaptureFixture, missing: str) -> None:
    """Without one of the rights calls pass, the circuit still opens, and the log says so in a few lines."""
    user.may(*(right for right in RIGHTS if right != missing))
    breaker = new_breaker(user.client(), redis_timeout=2, redis_retry_interval=60, idle_ttl=100)

    with caplog.at_level(logging.WARNING, "sharedbreaker"):
        walk(breaker, SharedCircuit(user.admin))

    assert 1 <= len(caplog.records) <= 5
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize("missing", WALKED)
def test_missing_right_is_named_in_the_log(
    user: User, caplog: pytest.LogCaptureFixture, missing: str
) -> None:
    """Without one of the rights the log names the command that is denied, so that nobody has to guess."""
    user.may(*(right for right in RIGHTS if right != missing))
    breaker = new_breaker(user.client(), redis_timeout=2, redis_retry_interval=60, idle_ttl=100)

    with caplog.at_level(logging.WARNING, "sharedbreaker"):
        walk(breaker, SharedCircuit(user.admin))

    told = [record.getMessage() for record in caplog.records]
    assert any(re.search(rf"\b{missing}\b", text, re.IGNORECASE) for text in told), told


def test_missing_key_pattern_never_fails_a_call_and_is_named(
    user: User, caplog: pytest.LogCaptureFixture
) -> None:
    """A user who may not touch these keys calls all the same, and the log names the key."""
    user.may(*RIGHTS, keys="~other:*")
    breaker = new_breaker(user.client(), **QUICK)

    with caplog.at_level(logging.WARNING, "sharedbreaker"):
        walk(breaker, SharedCircuit(user.admin))

    assert SharedCircuit(user.admin).key in caplog.text


def test_circuits_that_are_permitted_stay_shared(user: User) -> None:
    """A user who may touch only some circuits' keys keeps those shared, whatever becomes of the others."""
    user.may(*RIGHTS, keys=f"~{PREFIX}:{{allowed*")
    user.admin.execute_command("ACL", "SETUSER", USER, f"~{PREFIX}:breakers")
    client = user.client()
    settings = {"redis_timeout": 2, "redis_retry_interval": 60}
    allowed = new_breaker(client, name="allowed-1", **settings)
    denied = new_breaker(client, name="denied-1", **settings)
    succeed(allowed)

    succeed(denied, 3)
    succeed(allowed, 3)

    assert is_shared(allowed)
    assert not is_shared(denied)


@pytest.mark.parametrize("missing", ["ZREM", "HINCRBY"])
def test_circuit_opens_where_only_reports_are_denied(user: User, missing: str) -> None:
    """Failures that Redis cannot be told of open the circuit, also where each admission is answered."""
    user.may(*(right for right in RIGHTS if right != missing))
    breaker = new_breaker(user.client(), redis_timeout=2, redis_retry_interval=0.001)

    wait_until_open(breaker, most_failures=5 * 3)


def raise_service_down() -> str:
    time.sleep(0.002)
    raise ServiceDownError("503")


def test_settlement_that_cannot_be_looked_up_is_kept(user: User, redis_server: RedisServer) -> None:
    """Without XREVRANGE a settlement is kept rather than added blindly: calls pass, and none counts twice."""
    user.may(*(right for right in RIGHTS if right != "XREVRANGE"))
    with Proxy(redis_server.port) as proxy:
        breaker = new_breaker(user.client(proxy.port), redis_timeout=0.25, redis_retry_interval=0.05)
        succeed(breaker)
        proxy.is_silent = True
        succeed(breaker)
        proxy.cut_answer_to(script("settle").sha)
        proxy.is_silent = False
        wait_until(lambda: passes(breaker) and proxy.has_cut, "the settlement was sent")
        succeed(breaker, 20)

    batches = [event["batch"] for event in SharedCircuit(user.admin).away_events()]
    assert len(batches) == len(set(batches))
