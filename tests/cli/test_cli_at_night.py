"""What whoever is on call gets to see where Redis is not what it should be, or the terminal is not."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from cutting_proxy import CuttingProxy
from redis import Redis
from verbs import CommandLine, Ran, breaker_at
from verbs import command as command

from no_redis import answering
from sharedbreaker import Operator
from sharedbreaker.demo.redis_server import RedisServer, free_port

ACTS = [
    ("hold-open", "orders"),
    ("close", "orders"),
    ("disable", "orders"),
    ("enable", "orders"),
    ("tune", "orders", "timeout=5"),
    ("tune", "orders", "--clear", "timeout"),
    ("forget", "orders", "--yes"),
]
LOOKS = [("status",), ("show", "orders"), ("history", "orders"), ("tune", "orders"), ("doctor",)]
VERBS = [*LOOKS, *ACTS]
PASSWORD = "hunter2-of-the-operator"
WHERE = "look at Redis, --redis and SHAREDBREAKER_REDIS_URL"
MAYBE = "it may have been done, or still be: see `sharedbreaker show orders` once Redis answers"
LONGEST = 60


def verb_of(words: tuple[str, ...]) -> str:
    return "-".join(words).replace("-orders", "")


def away(ran: Ran) -> str:
    """Return the one line that a verb says where Redis could not be asked."""
    assert (ran.exit_code, ran.out) == (5, "")
    assert len(ran.err.splitlines()) == 1
    assert PASSWORD not in ran.err
    assert ran.err.rstrip().endswith(WHERE)
    return ran.err


@pytest.fixture(scope="module")
def frozen_url() -> Iterator[str]:
    """A Redis that takes everything and answers nothing."""
    with RedisServer() as server:
        server.freeze()
        yield f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0"
        server.thaw()


@pytest.fixture(scope="module")
def full_url() -> Iterator[str]:
    """A place whose connections are never made, as behind a firewall that drops."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield f"redis://:{PASSWORD}@127.0.0.1:{listener.getsockname()[1]}/0"


@pytest.mark.parametrize("words", VERBS, ids=verb_of)
def test_nobody_listens(words: tuple[str, ...]) -> None:
    """Where nothing was sent, the line says where to look, and nothing of an act that may have been done."""
    ran = CommandLine(f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0")(*words)

    assert "may have been done" not in away(ran)


@pytest.mark.parametrize("words", VERBS, ids=verb_of)
def test_no_answer_to_an_act_says_that_it_may_have_been_done(words: tuple[str, ...], frozen_url: str) -> None:
    """A server that hangs may still do what it was sent; who only looked need not hear of that."""
    ran = CommandLine(frozen_url)(*words, "--timeout", "0.1")

    line = away(ran)
    assert (MAYBE in line) == (words in ACTS)
    assert not re.search(r"\d\.\d{4}", line), "a bound as a machine has it"


def test_it_may_be_done_indeed() -> None:
    """What a frozen server was sent by a verb that gave up, it does when it goes on."""
    with RedisServer() as server:
        breaker_at(server.url, "orders").enable()  # from here on the server knows the script by its name
        with CuttingProxy(server.port) as proxy:
            proxy.lose_reply_to("control", silently=True)
            ran = CommandLine(proxy.url)("hold-open", "orders", "--timeout", "0.3")
        assert MAYBE in away(ran)
        assert Operator("orders", redis=server.url).snapshot().mode.value == "held_open"


@pytest.mark.parametrize("words", VERBS, ids=verb_of)
def test_what_answers_is_no_redis(words: tuple[str, ...]) -> None:
    """Another kind of server is told of as such, and not as keys that nobody could look at."""
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        line = away(CommandLine(f"redis://:{PASSWORD}@127.0.0.1:{port}/0")(*words))

    assert "what answers there is no Redis: look at the host and the port" in line


@pytest.mark.parametrize("words", [("status",), ("close", "orders"), ("doctor",)], ids=verb_of)
def test_there_is_no_such_database(words: tuple[str, ...], redis_server: RedisServer) -> None:
    """A number of a database that the server does not have is named as what is wrong."""
    line = away(CommandLine(f"redis://127.0.0.1:{redis_server.port}/99")(*words))

    assert "look at the number of the database, with which the URL ends" in line


@pytest.mark.parametrize("words", [("status",), ("close", "orders"), ("doctor",)], ids=verb_of)
@pytest.mark.parametrize("login", ["", f":{PASSWORD}@"])
def test_another_password_is_wanted(words: tuple[str, ...], login: str) -> None:
    """Without a password, and with a wrong one, the line names user and password, whatever Redis said."""
    with RedisServer("--requirepass", "the-right-one") as server:
        line = away(CommandLine(f"redis://{login}127.0.0.1:{server.port}/0")(*words))

    assert "look at the user and the password in the URL" in line
    assert "the-right-one" not in line


@pytest.mark.parametrize("words", [("status",), ("close", "orders"), ("doctor",)], ids=verb_of)
def test_a_connection_that_is_never_made_is_given_up(words: tuple[str, ...], full_url: str) -> None:
    """Packets that are dropped, and a server that never answers to TLS, hold nobody up."""
    away(CommandLine(full_url)(*words, "--timeout", "0.2"))
    with RedisServer() as server:
        away(CommandLine(f"rediss://:{PASSWORD}@127.0.0.1:{server.port}/0")(*words, "--timeout", "0.2"))


def test_what_was_done_and_cannot_be_shown_is_told_as_done(
    redis_server: RedisServer, command: CommandLine
) -> None:
    """Where Redis goes away right after the act, the line says that it was done."""
    breaker_at(command.url, "orders")
    with CuttingProxy(redis_server.port) as proxy:
        proxy.lose_reply_to("snapshot", times=9, before=True)
        ran = CommandLine(proxy.url)("hold-open", "orders")

    assert away(ran).startswith("sharedbreaker: it was done, but circuit 'orders'")
    assert Operator("orders", redis=redis_server.url).snapshot().mode.value == "held_open"


@pytest.mark.parametrize("words", [("status",), ("hold-open", "orders"), ("watch",)], ids=verb_of)
def test_ctrl_c_while_redis_is_silent(words: tuple[str, ...]) -> None:
    """Whoever waits no longer gets 130 at once, no traceback, and word of an act that may be done."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"redis://:{PASSWORD}@127.0.0.1:{listener.getsockname()[1]}/0"
        command = [sys.executable, "-m", "sharedbreaker", *words, "--redis", url, "--timeout", "50"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            listener.settimeout(LONGEST)
            connection, _ = listener.accept()
            with connection:
                process.send_signal(signal.SIGINT)
                out, errors = process.communicate(timeout=LONGEST)

    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in errors
    assert ("may have been done" in errors) == (words in ACTS)


def test_forgetting_that_nobody_confirmed(command: CommandLine, redis: Redis) -> None:
    """Without anybody who answers, as in a script, nothing is forgotten, and the line names --yes."""
    breaker_at(command.url, "orders")

    for typed in ("", "n\n"):
        ran = command("forget", "orders", typed=typed)
        assert ran.exit_code == 1
        assert "nothing was done: it was not confirmed; --yes does not ask" in ran.err
    assert command("forget", "orders", "--json").json["error"] == "failed"
    assert redis.exists("sharedbreaker:{orders}")


@pytest.mark.parametrize("words", [("status",), ("watch", "--count", "1")])
def test_a_full_disk_is_one_line(command: CommandLine, words: tuple[str, ...]) -> None:
    """What cannot be written ends with 1 and one line, not with a traceback."""
    breaker_at(command.url, "orders")
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        ran = subprocess.run(
            [sys.executable, "-m", "sharedbreaker", *words, "--redis", command.url],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=LONGEST,
            check=False,
        )

    assert ran.returncode == 1
    assert re.fullmatch(
        r"sharedbreaker: what there is to say could not be written: .*No space left.*\n", ran.stderr
    )


def test_watch_names_in_a_pipe_what_it_cannot_read(command: CommandLine, redis: Redis) -> None:
    """A list, or a circuit, of the wrong type is a line, and not a fleet without circuits."""
    redis.set("sharedbreaker:breakers", "somebody else's")

    ran = command("watch", "--count", "2", "--interval", "0.05")

    assert len(ran.out.splitlines()) == 1
    assert "sharedbreaker:breakers cannot be read" in ran.out
    assert "WRONGTYPE" in ran.out


def test_watch_says_once_in_a_pipe_that_redis_is_silent(frozen_url: str) -> None:
    """An outage is one line as long as it is the same, however often it is looked."""
    ran = CommandLine(frozen_url)("watch", "--count", "3", "--interval", "0.05", "--timeout", "0.1")

    assert len(ran.out.splitlines()) == 1
    assert "Redis is away: TimeoutError: " in ran.out


def test_a_server_that_takes_no_writes_is_found() -> None:
    """Where Redis answers who looks and refuses who writes, that is a failure, and nothing is left behind."""
    with RedisServer() as server, server.client() as client:
        client.config_set("min-replicas-to-write", 1)
        ran = CommandLine(server.url)("doctor", "--json")
        assert client.dbsize() == 0

    (finding,) = [finding for finding in ran.json["findings"] if finding["check"] == "scripts"]

    assert (ran.exit_code, finding["verdict"]) == (4, "failure")
    assert "may not write" in finding["what"]
    assert "NOREPLICAS" in finding["what"]
