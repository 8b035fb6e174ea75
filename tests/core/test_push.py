"""Changes that are pushed: a view ends as soon as somebody else changes the circuit."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from circuit_in_redis import CircuitInRedis, be_rejected, fail, new_breaker, succeed
from sharedbreaker import CircuitBreaker, CircuitBreakerError
from sharedbreaker.demo.redis_server import RedisServer

BOUND = 60
"""No test waits for it: what is noticed was pushed."""


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A server of the test's own, which only its own circuits listen on."""
    with RedisServer() as server:
        yield server


def new_listener(redis: Redis | str, **settings: Any) -> CircuitBreaker:
    return new_breaker(redis, max_staleness=BOUND, push=True, redis_retry_interval=0.02, **settings)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.001)


def listeners(redis: Redis) -> list[dict[str, str]]:
    found: Any = redis.client_list(_type="pubsub")
    return list(found)


def is_rejected(breaker: CircuitBreaker) -> bool:
    try:
        succeed(breaker)
    except CircuitBreakerError:
        return True
    return False


def start_listening(redis: Redis, *breakers: CircuitBreaker) -> None:
    for breaker in breakers:
        succeed(breaker)
    wait_until(lambda: [int(each["sub"]) for each in listeners(redis)] == [len(breakers)])
    # The confirmation ends the view once; then it is good for the whole bound.
    for breaker in breakers:
        succeed(breaker)


def test_an_opening_elsewhere_is_acted_on_long_before_the_bound(redis: Redis) -> None:
    """Failures of another process end the view; so does closing by hand."""
    listener, other = new_listener(redis), new_breaker(redis, push=True)
    start_listening(redis, listener)

    fail(other, 3)
    wait_until(lambda: is_rejected(listener))
    other.force_close()
    wait_until(lambda: not is_rejected(listener))


def test_without_push_the_bound_is_all_there_is(redis: Redis) -> None:
    """Nothing is published where nobody asked for it, and the view holds for its time."""
    watching = redis.pubsub(ignore_subscribe_messages=True)
    watching.psubscribe("*")
    wait_until(redis.pubsub_numpat)
    breaker, other = new_breaker(redis, max_staleness=BOUND), new_breaker(redis)
    succeed(breaker)

    other.force_open()

    assert [watching.get_message(timeout=0.05) for _ in range(3)] == [None] * 3
    succeed(breaker)
    watching.close()


def test_one_connection_listens_for_all_circuits_of_a_process(redis: Redis) -> None:
    """However many breakers a process has, one connection hears of their changes."""
    breakers = [new_listener(redis, name=f"circuit-{number}") for number in range(5)]
    start_listening(redis, *breakers)

    assert len(listeners(redis)) == 1
    for breaker in breakers:
        new_breaker(redis, name=breaker.name, push=True).force_open()
        wait_until(functools.partial(is_rejected, breaker))


def test_a_lost_connection_is_made_again(redis: Redis) -> None:
    """When Redis drops the listener it comes back, and doubts what it may have missed."""
    listener = new_listener(redis)
    start_listening(redis, listener)
    before = listeners(redis)[0]["id"]

    redis.client_kill_filter(_type="pubsub")
    new_breaker(redis, push=True).force_open()

    wait_until(lambda: is_rejected(listener))
    wait_until(lambda: listeners(redis) and listeners(redis)[0]["id"] != before)


def test_a_user_who_may_not_publish_still_opens_circuits(redis_server: RedisServer, redis: Redis) -> None:
    """Where the ACL forbids publishing, the state changes all the same, and nothing is lost but the news."""
    redis.execute_command("ACL", "SETUSER", "quiet", "on", ">pw", "~*", "resetchannels", "+@all", "-publish")
    try:
        breaker = new_breaker(f"redis://quiet:pw@127.0.0.1:{redis_server.port}", push=True)
        fail(breaker, 3)
        be_rejected(breaker)
    finally:
        redis.execute_command("ACL", "DELUSER", "quiet")

    assert CircuitInRedis(redis).field("state") == "open"


def test_push_is_a_setting_of_the_fleet(redis: Redis) -> None:
    """It is in the hash as any other setting, and anything but yes and no is refused."""
    succeed(new_listener(redis))

    assert CircuitInRedis(redis).field("push") == "1"
    with pytest.raises(ValueError, match="push must be True or False"):
        CircuitBreaker(push=1)  # type: ignore[arg-type]
