"""status, show and history: what is there to see, also of processes that are long gone."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from redis import Redis
from verbs import CommandLine, breaker_at, fail
from verbs import command as command

from sharedbreaker import Operator

GONE = """
from sharedbreaker import CircuitBreaker
breaker = CircuitBreaker(name="orders", failure_threshold=1, timeout=1000)
try:
    breaker.call(lambda: 1 / 0)
except ZeroDivisionError:
    pass
"""


def test_circuits_of_a_process_that_is_gone_are_shown(command: CommandLine) -> None:
    """`status --json` shows the state, why, and the configuration that a dead process left in Redis."""
    subprocess.run(
        [sys.executable, "-c", GONE], check=True, env={"SHAREDBREAKER_REDIS_URL": command.url}, timeout=60
    )

    ran = command("status", "--json")

    (circuit,) = ran.json["circuits"]
    assert (ran.exit_code, ran.json["status"]) == (4, "failing")
    assert (circuit["name"], circuit["state"], circuit["last_failure_type"]) == (
        "orders",
        "open",
        "ZeroDivisionError",
    )
    assert circuit["settings"]["open_timeout_ms"] == 1_000_000


def test_exit_code_tells_how_circuits_are(command: CommandLine) -> None:
    """Healthy is 0, half-open 3, open 4, and open goes before half-open."""
    breaker = breaker_at(command.url, "orders", failure_threshold=1, timeout=0.001)
    assert command("status").exit_code == 0
    fail(breaker)
    assert command("status").exit_code == 4
    breaker.call(int)
    assert (command("status").exit_code, command("status", "--json").json["status"]) == (3, "degraded")
    breaker_at(command.url, "others").force_open()
    assert command("status").exit_code == 4


def test_status_of_named_circuits_alone(command: CommandLine) -> None:
    """Named circuits alone are shown and decide the exit code; a name that is not there is 6."""
    breaker_at(command.url, "orders")
    breaker_at(command.url, "others").force_open()

    ran = command("status", "orders", "--json")

    assert ran.exit_code == 0
    assert [circuit["name"] for circuit in ran.json["circuits"]] == ["orders"]
    assert command("status", "orders", "nobody").exit_code == 6


def test_empty_redis_is_well_and_says_so(command: CommandLine) -> None:
    """Without circuits `status` exits 0, and says on stderr where it looked."""
    ran = command("status")

    assert (ran.exit_code, ran.out) == (0, "")
    assert "no circuits yet" in ran.err
    assert command("status", "--json").json["circuits"] == []


def test_other_prefix_is_another_world(command: CommandLine) -> None:
    """`--prefix` shows the circuits under that prefix and no others."""
    breaker_at(command.url, "orders", prefix="shop")

    assert "orders" in command("status", "--prefix", "shop").out
    assert "orders" not in command("status").out


def test_unreadable_circuit_is_named_and_the_others_shown(command: CommandLine, redis: Redis) -> None:
    """A key of another type is told of on stderr and by 1; everything else is shown."""
    breaker_at(command.url, "orders")
    redis.sadd("sharedbreaker:breakers", "broken")
    redis.set("sharedbreaker:{broken}", "a string")

    ran = command("status")

    assert ran.exit_code == 1
    assert "orders" in ran.out
    assert "'broken' cannot be read" in ran.err
    assert "WRONGTYPE" in command("status", "--json").json["unreadable"]["broken"]


def test_table_says_until_when_and_why(command: CommandLine) -> None:
    """A held circuit shows who holds it, why and for how long; an open one its last failure and process."""
    fail(breaker_at(command.url, "payments", failure_threshold=2), 2)
    breaker_at(command.url, "orders").force_open("their incident 42", seconds=600, who="ann")

    held, tripped = command("status").out.splitlines()[1:]

    assert held.startswith("orders")
    assert "held open" in held
    assert "by ann: their incident 42" in held
    assert "9 min 5" in held or "10 min" in held
    assert "2/2" in tripped
    assert "TimeoutError in " in tripped


def test_show_has_everything_of_one_circuit(command: CommandLine, redis: Redis) -> None:
    """`show` has state, figures, settings and the latest events; as JSON what get_metrics has, and more."""
    breaker = breaker_at(command.url, "orders", failure_threshold=2)
    fail(breaker, 2)

    ran = command("show", "orders")
    shown = command("show", "orders", "--json").json

    assert ran.exit_code == 0
    for words in ("failures in a row", "2/2", "closed to open", "lease_timeout_ms", "closed -> open"):
        assert words in ran.out
    metrics = breaker.get_metrics()
    for name in metrics.keys() - {"uptime_seconds"}:
        assert shown[name] == metrics[name], name
    assert [event["why"] for event in shown["latest_events"]] == ["failure_threshold", "declared"]


def test_looking_changes_nothing(command: CommandLine, redis: Redis) -> None:
    """No look leaves a trace in Redis, a circuit that is not there included."""
    breaker_at(command.url, "orders")
    before = {key: redis.dump(key) for key in redis.scan_iter()}

    for words in (("status",), ("show", "orders"), ("history", "orders"), ("show", "nobody"), ("doctor",)):
        command(*words)

    assert {key: redis.dump(key) for key in redis.scan_iter()} == before


def test_history_tells_what_happened_with_the_latest_last(command: CommandLine) -> None:
    """Each line says when, what, why and who; `--limit` keeps the latest."""
    breaker = breaker_at(command.url, "orders", failure_threshold=1)
    fail(breaker)
    Operator("orders", redis=command.url).force_close("all well", who="ann")

    lines = command("history", "orders").out.splitlines()

    assert [line.split()[0] for line in lines[:1]] == ["WHEN"]
    assert "declared" in lines[1]
    assert "closed -> open" in lines[2]
    assert "TimeoutError" in lines[2]
    assert "open -> closed" in lines[3]
    assert "force_close" in lines[3]
    assert "ann" in lines[3]
    assert "all well" in lines[3]
    latest = command("history", "orders", "--limit", "1", "--json").json
    assert [(event["from"], event["to"], event["who"]) for event in latest] == [("open", "closed", "ann")]


@pytest.mark.parametrize(
    "verb", ["show", "history", "hold-open", "close", "disable", "enable", "tune", "forget"]
)
def test_circuit_that_is_not_there_is_6(command: CommandLine, redis: Redis, verb: str) -> None:
    """Every verb of one circuit says that there is none, by 6 and as JSON, and makes none."""
    words = ["--yes"] if verb == "forget" else ["failure_threshold=2"] if verb == "tune" else []

    ran = command(verb, "nobody", "--json", *words)

    assert (ran.exit_code, ran.json["error"]) == (6, "no_such_circuit")
    assert "there is no circuit 'nobody'" in ran.err
    assert redis.dbsize() == 0


@pytest.mark.parametrize(
    "words", [("show", "a{b"), ("status", "a b"), ("show",), ("history", "x", "--limit", "0")]
)
def test_command_line_that_makes_no_sense_is_2(command: CommandLine, words: tuple[str, ...]) -> None:
    """What cannot be meant is a usage error, and not a missing circuit or an open one."""
    assert command(*words).exit_code == 2


def test_text_from_outside_reaches_no_terminal_raw(command: CommandLine) -> None:
    """Escape sequences, line breaks and markup in a reason are shown as they are, or replaced."""
    breaker_at(command.url, "orders").force_open("\x1b[2Jfooled\n[red]you\u202e", who="mal\x07lory")

    for words in (("status",), ("show", "orders"), ("history", "orders"), ("watch", "--count", "1")):
        out = command(*words).out
        assert not set("\x1b\x07\u202e") & set(out)
        assert "[red]you" in out
        assert "fooled\n" not in out
    assert json.dumps("\x1b[2Jfooled\n")[:-1] in command("show", "orders", "--json").out
