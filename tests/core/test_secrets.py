"""Secrets: a password is in no log record, no exception text and no repr, whatever goes wrong."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from circuit_in_redis import new_breaker, succeed
from sharedbreaker import CircuitBreaker, SettingsError, SharedBreakerError
from sharedbreaker.demo.redis_server import RedisServer, free_port

PASSWORD = "hunter2/§%7"
QUOTED = "hunter2%2F%C2%A7%257"
SHOWN = ["hunter2"]


@pytest.fixture(scope="module")
def locked_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        client = server.client()
        client.config_set("requirepass", "another one")
        client.close()
        yield server


def answer_of(ask: Callable[[], object]) -> list[str]:
    try:
        return [repr(ask())]
    except SharedBreakerError as error:
        return [str(error), repr(error), *traceback.format_exception(error)]


def everything_told(breaker: CircuitBreaker, caplog: pytest.LogCaptureFixture) -> str:
    """All that a user or a log reader sees of a breaker whose Redis cannot be used."""
    caplog.set_level(logging.DEBUG)
    told = [repr(breaker), str(breaker), repr(vars(breaker))]
    succeed(breaker)
    for ask in (
        breaker.snapshot,
        breaker.get_state,
        breaker.get_metrics,
        breaker.export_prometheus_metrics,
        breaker.force_open,
        breaker.force_close,
        breaker.disable,
        breaker.enable,
    ):
        told += answer_of(ask)
    formatter = logging.Formatter()
    told += [formatter.format(record) + repr(record.args) for record in caplog.records]
    return "\n".join(told)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:{password}@127.0.0.1:{port}/0",
        "redis://shop:{password}@127.0.0.1:{port}/0",
        "redis://127.0.0.1:{port}/0?password={password}",
    ],
)
@pytest.mark.parametrize("trouble", ["wrong password", "nobody there"])
def test_password_of_a_url_is_told_nowhere(
    locked_server: RedisServer, caplog: pytest.LogCaptureFixture, url: str, trouble: str
) -> None:
    """With a wrong password and with no server at all, the URL's password is in nothing that is told."""
    port = locked_server.port if trouble == "wrong password" else free_port()

    told = everything_told(new_breaker(url.format(password=QUOTED, port=port)), caplog)

    assert "orders" in told
    assert not [part for part in SHOWN if part in told]


@pytest.mark.parametrize("trouble", ["wrong password", "nobody there"])
def test_password_of_a_client_is_told_nowhere(
    locked_server: RedisServer, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    """The password of a client that was handed in is in nothing that is told."""
    port = locked_server.port if trouble == "wrong password" else free_port()
    client = Redis(port=port, username="shop", password=PASSWORD)

    told = everything_told(new_breaker(client), caplog)

    assert not [part for part in SHOWN if part in told]
    client.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://:{password}@localhost/0",
        "redis:/:{password}@localhost",
        "redis://:{password}@localhost:port/0",
        "redis://:{password}@localhost:99999999/0",
        "redis://:{password}@[localhost/0",
        "redis://:{password}@localhost/0?socket_timeout=soon",
        "redis://:{password}@localhost/0?no_such_option=1",
        ":{password}@localhost",
    ],
)
@pytest.mark.parametrize("where", ["argument", "SHAREDBREAKER_REDIS_URL", "REDIS_URL"])
def test_broken_url_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str, where: str
) -> None:
    """A URL that cannot be read is a SettingsError that names where it stood and shows no password."""
    for variable in ("SHAREDBREAKER_REDIS_URL", "REDIS_URL"):
        monkeypatch.delenv(variable, raising=False)
    broken = url.format(password=QUOTED)
    if where != "argument":
        monkeypatch.setenv(where, broken)

    with pytest.raises(SettingsError) as caught:
        new_breaker(broken if where == "argument" else None)

    assert ("redis" if where == "argument" else where) in str(caught.value)
    told = "".join(traceback.format_exception(caught.value)[-1:]) + repr(caught.value)
    assert not [part for part in SHOWN if part in told]
    assert caught.value.__cause__ is None


def test_message_of_an_exception_is_not_kept(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """What an exception says, which may be a prompt or a key, is in no key of Redis and in no log."""
    caplog.set_level(logging.DEBUG)
    breaker = new_breaker(redis, failure_threshold=1, expected_exception=Exception)

    def leak() -> None:
        raise RuntimeError("hunter2")

    with pytest.raises(RuntimeError):
        breaker.call(leak)

    stored = b"".join(redis.dump(key) or b"" for key in redis.scan_iter())
    assert b"hunter2" not in stored
    assert "hunter2" not in repr(redis.hgetall("sharedbreaker:{orders}"))
    assert "hunter2" not in repr(redis.xrange("sharedbreaker:{orders}:events"))
    assert "hunter2" not in caplog.text
