"""Redis away: one line that says so and exit code 5, in time, without a traceback and without a password."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from verbs import CommandLine, breaker_at
from verbs import command as command

from sharedbreaker.demo.redis_server import RedisServer, free_port

PASSWORD = "hunter2-of-the-operator"
VERBS = [
    ("status",),
    ("show", "orders"),
    ("history", "orders"),
    ("hold-open", "orders"),
    ("close", "orders"),
    ("disable", "orders"),
    ("enable", "orders"),
    ("tune", "orders", "timeout=5"),
    ("forget", "orders", "--yes"),
    ("doctor",),
]


@pytest.fixture(scope="module")
def frozen_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        server.freeze()
        yield server
        server.thaw()


@pytest.mark.parametrize("words", VERBS, ids=lambda words: words[0])
def test_refused(words: tuple[str, ...]) -> None:
    """Where nobody listens every verb exits with 5 and says where it asked, without the password."""
    port = free_port()
    ran = CommandLine(f"redis://:{PASSWORD}@127.0.0.1:{port}/0")(*words)

    assert (ran.exit_code, ran.out) == (5, "")
    assert len(ran.err.splitlines()) == 1
    assert f"127.0.0.1:{port}" in ran.err
    assert PASSWORD not in ran.err


@pytest.mark.parametrize("words", VERBS, ids=lambda words: words[0])
def test_frozen(frozen_server: RedisServer, words: tuple[str, ...]) -> None:
    """Where nobody answers every verb gives up after --timeout, by 5, and as JSON."""
    command = CommandLine(f"redis://:{PASSWORD}@127.0.0.1:{frozen_server.port}/0")

    ran = command(*words, "--timeout", "0.1", "--json")

    assert (ran.exit_code, ran.json["error"]) == (5, "redis_away")
    assert "Traceback" not in ran.err
    assert PASSWORD not in ran.err + ran.out


@pytest.mark.parametrize("words", VERBS, ids=lambda words: words[0])
def test_wrong_password(words: tuple[str, ...]) -> None:
    """A server that wants another password is told of as such, and neither password is shown."""
    with RedisServer("--requirepass", "the-right-one") as server:
        ran = CommandLine(f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0")(*words)

    assert ran.exit_code == 5
    assert "invalid username-password" in ran.err
    assert PASSWORD not in ran.err
    assert "the-right-one" not in ran.err


def test_url_that_cannot_be_read(command: CommandLine) -> None:
    """A broken URL is a usage error that shows no part of it."""
    ran = command("status", "--redis", f"http://:{PASSWORD}@host")

    assert ran.exit_code == 2
    assert "--redis" in ran.err or "redis" in ran.err
    assert PASSWORD not in ran.err


def test_watch_goes_on_while_redis_is_away() -> None:
    """It prints what it saw, that Redis is away, and that it is back."""
    with RedisServer() as server:
        command = CommandLine(server.url)
        breaker_at(server.url, "orders")
        seen = command("watch", "--count", "1").out
        server.kill()
        away = command("watch", "--count", "3", "--interval", "0.05").out
        as_json = command("watch", "--count", "1", "--json")

    assert "orders closed" in seen
    assert len(away.splitlines()) == 1
    assert "Redis is away" in away
    assert (as_json.exit_code, as_json.json["redis_available"]) == (0, False)


def test_names_are_not_completed_where_redis_is_away(frozen_server: RedisServer) -> None:
    """Completion gives up soon and silently: a shell must not hang or fill with errors."""
    started = time.monotonic()

    ran = CommandLine(frozen_server.url)(
        _SHAREDBREAKER_COMPLETE="bash_complete", COMP_WORDS="sharedbreaker show or", COMP_CWORD="2"
    )

    assert (ran.out.strip(), ran.err) == ("", "")
    assert time.monotonic() - started < 10
