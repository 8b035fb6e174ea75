"""What docs/redis.md says, done."""

from __future__ import annotations

import re
from pathlib import Path

from redis import Redis

from sharedbreaker import CircuitBreaker
from sharedbreaker.demo.redis_server import RedisServer

PAGE = (Path(__file__).parents[1] / "docs" / "redis.md").read_text()


def test_the_documented_user_can_do_everything(redis_server: RedisServer, redis: Redis) -> None:
    """A user with the rights that the page lists shares circuits, holds them and lets them go."""
    line = re.search(r"^ACL SETUSER.*$", PAGE, re.MULTILINE)
    assert line is not None
    redis.execute_command(*line[0].split())
    try:
        breaker = CircuitBreaker(
            name="acl", redis=f"redis://breaker:PASSWORD@127.0.0.1:{redis_server.port}", idle_ttl=1000
        )
        breaker.call(lambda: None)
        breaker.force_open("trying it out")
        breaker.force_close()
        breaker.call(lambda: None)
        metrics = breaker.get_metrics()
    finally:
        redis.execute_command("ACL", "DELUSER", "breaker")

    assert metrics["redis_available"]
    assert metrics["successful_calls"] == 2
    assert redis.sismember("sharedbreaker:breakers", "acl")


def test_deleting_the_hash_is_a_clean_start(redis: Redis) -> None:
    """DEL of a circuit's hash closes it, and the next call declares its settings again."""
    breaker = CircuitBreaker(name="deleted", redis=redis)
    breaker.force_open()
    redis.delete("sharedbreaker:{deleted}")

    assert breaker.call(lambda: "done") == "done"
    assert redis.hget("sharedbreaker:{deleted}", "failure_threshold") == "5"


def test_every_way_to_go_on_without_redis_is_named() -> None:
    """The page's table has the values that `on_redis_error` takes."""
    from sharedbreaker.base_breaker import ON_REDIS_ERROR

    assert re.findall(r'^\| `"(\w+)"`', PAGE, re.MULTILINE) == list(ON_REDIS_ERROR)
