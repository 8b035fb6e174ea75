"""docs/security.md: each documented user, on a real Redis, can do what it is for and nothing else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from docs_page import ROOT, page
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError
from verbs import CommandLine

from guarded_calls import be_rejected, fail, succeed, work
from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, FailureRate, SlowCallRate
from sharedbreaker.cli.commands import sharedbreaker
from sharedbreaker.demo.redis_server import RedisServer

PAGE = page("security.md")
[BLOCK] = PAGE.blocks("acl")
USERS = {words.split()[1]: words for words in BLOCK.text.splitlines()}
ACTS_AND_LOOKS = (
    "status",
    "watch --count 1",
    "show orders",
    "history orders",
    "hold-open orders --for 10m --reason trying",
    "close orders --reason trying",
    "disable orders --reason trying",
    "enable orders --reason trying",
    "observe orders --reason trying",
    "enforce orders --reason trying",
    "tune orders failure_threshold=9",
    "tune orders --clear-all",
    "doctor",
    "forget orders --yes",
)
ASKS_NO_REDIS = {"script", "demo"}
SERVES = {"exporter": "metrics", "serve": "page"}
"""Verbs that run until they are told to end, and the page whose test tries them as their user."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis with the page's users and no others."""
    users = tmp_path_factory.mktemp("redis") / "users.acl"
    users.write_text(BLOCK.text)
    with RedisServer("--aclfile", str(users)) as running:
        yield running


def url_of(user: str, server: RedisServer) -> str:
    return f"redis://{user}:PASSWORD@127.0.0.1:{server.port}/0"


def test_the_app_can_do_everything(server: RedisServer) -> None:
    """As `breaker` both kinds of breaker, strict and with a staleness, lead a circuit through its life."""
    url = url_of("breaker", server)
    strict = CircuitBreaker(3, name="life", redis=url, redis_timeout=5, idle_ttl=3600)
    stale = CircuitBreaker(3, name="life", redis=url, redis_timeout=5, idle_ttl=3600, max_staleness=0.05)
    succeed(stale, 3)
    fail(stale, 3)  # each is written at once, with what was held back before it
    be_rejected(strict)
    for act in (strict.force_close, strict.disable, strict.enable, strict.force_open, strict.force_close):
        act()

    async def call() -> str:
        breaker = AsyncCircuitBreaker(3, name="life", redis=url, redis_timeout=5, idle_ttl=3600)

        async def job() -> str:
            return work()

        return await breaker.call(job)

    assert asyncio.run(call()) == "done"
    metrics = strict.get_metrics()
    assert metrics["redis_available"]
    assert metrics["failed_calls"] == 3


def test_rules_beside_the_default_one_take_no_further_right(server: RedisServer) -> None:
    """As `breaker` a circuit with every rule that there is opens by a rate, ramps up, and is shared."""
    url = url_of("breaker", server)
    breaker = CircuitBreaker(
        None,
        name="rules",
        redis=url,
        redis_timeout=5,
        failure_rate=FailureRate(0.5, window=60, minimum_calls=2),
        slow_call_rate=SlowCallRate(10, window=60, minimum_calls=2),
        timeout_growth=2,
        ramp_up=10,
        max_in_flight=5,
    )
    succeed(breaker)
    fail(breaker)
    be_rejected(breaker)
    breaker.force_close()

    assert breaker.get_metrics()["redis_available"]


def test_scripts_run_no_command_that_the_app_may_not() -> None:
    """Whatever a script asks of Redis is in the rights of `breaker`, but for removing and for push."""
    may = set(re.findall(r"\+(\w+)", USERS["breaker"]))
    for script in (ROOT / "lua").glob("*.lua"):
        asks = {name.lower() for name in re.findall(r"redis\.p?call\('(\w+)'", script.read_text())}
        if script.stem == "forget":
            may_here = set(re.findall(r"\+(\w+)", USERS["operator"]))
        else:
            may_here = may | {"publish"}
        assert asks <= may_here, script.name


def test_push_takes_what_the_page_says(server: RedisServer, tmp_path: Path) -> None:
    """With the channel and the two commands a breaker with `push` hears of changes, and not without."""
    rights = re.search(r"`(&sharedbreaker:\* [^`]+)` with `push`", PAGE.text)
    assert rights is not None
    users = tmp_path / "users.acl"
    users.write_text(f"{USERS['breaker']} {rights[1]}\n")
    with RedisServer("--aclfile", str(users)) as own:
        client = Redis.from_url(url_of("breaker", own))
        with client.pubsub() as listener:
            listener.subscribe("sharedbreaker:{life}:changes")
            listener.get_message(timeout=5)
            breaker = CircuitBreaker(name="life", redis=url_of("breaker", own), push=True, redis_timeout=5)
            breaker.force_open()
            told = [listener.get_message(timeout=5) for _ in range(2)]
        client.close()

    assert [message["data"] for message in told if message] == [b"declared", b"force_open"]


def test_the_operator_can_use_every_verb(server: RedisServer) -> None:
    """As `operator` every verb of the command line that asks Redis works."""
    command = CommandLine(url_of("operator", server))
    succeed(CircuitBreaker(name="orders", redis=url_of("breaker", server), redis_timeout=5))

    for line in ACTS_AND_LOOKS:
        ran = command(*line.split())
        assert ran.exit_code == 0, (line, ran.out, ran.err)
    tried = {line.split()[0] for line in ACTS_AND_LOOKS}
    assert tried | ASKS_NO_REDIS | set(SERVES) == set(sharedbreaker.commands)


@pytest.mark.parametrize("user", [user for user in USERS if user != "default"])
def test_no_user_reaches_beyond_the_circuits(server: RedisServer, user: str) -> None:
    """Nobody may flush, configure, list keys, or touch a key of somebody else, by script either."""
    with Redis.from_url(url_of(user, server)) as client:
        for words in (
            ("FLUSHALL",),
            ("CONFIG", "GET", "*"),
            ("KEYS", "*"),
            ("SCRIPT", "FLUSH"),
            ("ACL", "LIST"),
            ("SHUTDOWN",),
            ("HGET", "session:1", "user"),
        ):
            with pytest.raises(NoPermissionError):
                client.execute_command(*words)
        # By way of a script the server words it otherwise, and from 7.0 on as the same error.
        with pytest.raises(Exception, match=r"(?i)can't run|no permissions|NOPERM"):
            client.eval("return redis.call('GET', 'session:1')", 0)


@pytest.mark.parametrize("user", ["metrics", "page"])
def test_who_looks_changes_nothing(server: RedisServer, user: str) -> None:
    """A user who is there to look cannot write to a circuit, by script either."""
    with Redis.from_url(url_of(user, server)) as client:
        with pytest.raises(NoPermissionError):
            client.hset("sharedbreaker:{life}", "state", "open")
        with pytest.raises(Exception, match=r"(?i)can't run|no permissions|NOPERM"):
            client.eval("return redis.call('HSET', KEYS[1], 'state', 'open')", 1, "sharedbreaker:{life}")


def test_a_stolen_password_is_changed_as_the_page_says(tmp_path: Path) -> None:
    """After the command for it the new password counts and the old one does not."""
    command = re.search(r"`ACL SETUSER (breaker .+?)`", PAGE.text)
    assert command is not None
    users = tmp_path / "users.acl"
    users.write_text(f"{USERS['breaker']}\nuser admin on >ADMIN ~* &* +@all\n")
    with RedisServer("--aclfile", str(users)) as own:
        with Redis(port=own.port, username="admin", password="ADMIN") as admin:
            admin.execute_command("ACL", "SETUSER", *command[1].split())
        with Redis(port=own.port, username="breaker", password="NEW") as client:
            assert client.time()
        with Redis.from_url(url_of("breaker", own)) as thief, pytest.raises(AuthenticationError):
            thief.time()


def test_users_are_those_of_the_other_pages() -> None:
    """A user has the same rights wherever the docs name it; those pages' tests try them."""
    for name, user in (("redis.md", "breaker"), ("metrics.md", "metrics"), ("web.md", "page")):
        [line] = re.findall(r"^ACL SETUSER (.*)$", page(name).text, re.MULTILINE)
        assert f"user {line}" == USERS[user]
