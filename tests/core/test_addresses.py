"""Where Redis is: URLs, sockets, passwords and the environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from circuit_in_redis import CircuitInRedis, be_rejected, fail, new_breaker, succeed
from no_redis import answering
from sharedbreaker.demo.redis_server import RedisServer

PASSWORD = "p@ss#w%r/d:?&=ä"
QUOTED = "p%40ss%23w%25r%2Fd%3A%3F%26%3D%C3%A4"


@pytest.fixture(scope="module")
def locked_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server with a socket of its own, a password, and a user `shop` with the same one."""
    socket = tmp_path_factory.mktemp("s") / "r.sock"
    with RedisServer("--unixsocket", str(socket)) as server:
        client = server.client(decode_responses=True)
        client.acl_setuser(
            "shop", enabled=True, passwords=[f"+{PASSWORD}"], keys=["*"], categories=["+@all"], channels=["*"]
        )
        client.config_set("requirepass", PASSWORD)
        client.close()
        yield server


def socket_of(server: RedisServer) -> Path:
    client = Redis(port=server.port, password=PASSWORD, decode_responses=True)
    path = Path(str(client.config_get("unixsocket")["unixsocket"]))
    client.close()
    return path


@pytest.fixture
def inside(locked_server: RedisServer) -> Iterator[Redis]:
    """A client of the locked server, emptied."""
    client = Redis(port=locked_server.port, password=PASSWORD, decode_responses=True)
    client.flushall()
    yield client
    client.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis://:{quoted}@127.0.0.1:{port}/0",
        "redis://default:{quoted}@127.0.0.1:{port}",
        "redis://shop:{quoted}@127.0.0.1:{port}/0",
        "redis://shop:{quoted}@localhost:{port}/0?client_name=shop&protocol=3",
        "redis://127.0.0.1:{port}/0?username=shop&password={quoted}",
        "unix://:{quoted}@{socket}",
        "unix://shop:{quoted}@{socket}?db=0",
    ],
)
def test_url_with_a_password_connects(locked_server: RedisServer, inside: Redis, url: str) -> None:
    """A URL with user, password and escapes is understood as redis-py understands it."""
    breaker = new_breaker(url.format(quoted=QUOTED, port=locked_server.port, socket=socket_of(locked_server)))

    succeed(breaker)

    assert CircuitInRedis(inside).number("successful_calls") == 1


def test_client_with_a_password_connects(locked_server: RedisServer, inside: Redis) -> None:
    """A client's user and password are used as they are."""
    client = Redis(port=locked_server.port, username="shop", password=PASSWORD)

    succeed(new_breaker(client))

    assert CircuitInRedis(inside).number("successful_calls") == 1
    client.close()


def test_client_over_a_socket_connects(locked_server: RedisServer, inside: Redis) -> None:
    """A client over a Unix socket is followed to its socket."""
    client = Redis(unix_socket_path=str(socket_of(locked_server)), password=PASSWORD)

    succeed(new_breaker(client))

    assert CircuitInRedis(inside).number("successful_calls") == 1
    client.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:{port}/5",
        "redis://127.0.0.1:{port}?db=5",
        "redis://127.0.0.1:{port}/5?decode_responses=True&socket_timeout=3",
    ],
)
def test_database_in_the_url_is_used(redis_server: RedisServer, redis: Redis, url: str) -> None:
    """The circuit is in the URL's database and in no other."""
    succeed(new_breaker(url.format(port=redis_server.port)))

    other = Redis(port=redis_server.port, db=5, decode_responses=True)
    assert redis.dbsize() == 0
    assert CircuitInRedis(other).number("successful_calls") == 1
    other.flushdb()
    other.close()


def test_database_in_a_sockets_url_is_used(locked_server: RedisServer, inside: Redis) -> None:
    """A unix:// URL with db puts the circuit there."""
    succeed(new_breaker(f"unix://:{QUOTED}@{socket_of(locked_server)}?db=7"))

    assert inside.dbsize() == 0
    assert inside.info("keyspace")["db7"]["keys"] == 3


@pytest.mark.parametrize("variable", ["SHAREDBREAKER_REDIS_URL", "REDIS_URL"])
def test_environment_tells_where_redis_is(
    redis_server: RedisServer, redis: Redis, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Without a redis argument the URL comes from the environment."""
    monkeypatch.delenv("SHAREDBREAKER_REDIS_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv(variable, redis_server.url)

    succeed(new_breaker(None))

    assert CircuitInRedis(redis).number("successful_calls") == 1


def test_our_own_variable_is_looked_at_first(
    redis_server: RedisServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SHAREDBREAKER_REDIS_URL wins over REDIS_URL."""
    monkeypatch.setenv("SHAREDBREAKER_REDIS_URL", redis_server.url)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")

    succeed(new_breaker(None))

    assert CircuitInRedis(redis).number("successful_calls") == 1


def test_empty_variable_is_no_address(
    redis_server: RedisServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty SHAREDBREAKER_REDIS_URL is as good as none."""
    monkeypatch.setenv("SHAREDBREAKER_REDIS_URL", "")
    monkeypatch.setenv("REDIS_URL", redis_server.url)

    succeed(new_breaker(None))

    assert CircuitInRedis(redis).number("successful_calls") == 1


def test_argument_wins_over_the_environment(
    redis_server: RedisServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL that is given is used whatever the environment says."""
    monkeypatch.setenv("SHAREDBREAKER_REDIS_URL", "redis://127.0.0.1:1/0")

    succeed(new_breaker(redis_server.url))

    assert CircuitInRedis(redis).number("successful_calls") == 1


def test_breakers_of_one_url_share_their_connections(redis_server: RedisServer, redis: Redis) -> None:
    """A hundred circuits at one URL do not open a connection each."""
    before = len(redis.client_list())

    for number in range(100):
        succeed(new_breaker(redis_server.url, name=f"circuit{number}"))

    assert len(redis.client_list()) - before < 10


def test_idle_connection_that_was_cut_costs_nothing(redis_server: RedisServer, redis: Redis) -> None:
    """A connection that the server closed while it was idle is replaced, and the next call counts."""
    breaker = new_breaker(redis_server.url)
    succeed(breaker)
    redis.client_kill_filter(_type="normal", skipme=True)

    succeed(breaker, 2)

    assert CircuitInRedis(redis).number("successful_calls") == 3


@pytest.mark.parametrize(
    "words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"-ERR what?\r\n"]
)
def test_an_address_of_something_else_costs_no_call(words: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Where something answers that is no Redis, calls are made and decided here, and the log says so once."""
    with answering(words) as port:
        breaker = new_breaker(f"redis://127.0.0.1:{port}/0", redis_retry_interval=60)
        succeed(breaker, 3)
        fail(breaker, 3)
        be_rejected(breaker)

        assert breaker.redis_available is False
    lines = [record for record in caplog.records if f"127.0.0.1:{port}" in record.getMessage()]
    assert len(lines) == 1
