"""doctor: what is wrong with Redis or a circuit is found, and it is said what to do about it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from verbs import CommandLine, Ran, breaker_at
from verbs import command as command

from sharedbreaker.cli.examination.circuits import LONG_HOLD_SECONDS
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.store.keys import keys_of

DOCS = Path(__file__).parents[2] / "docs"
KEY = "sharedbreaker:{orders}"


def found(command: CommandLine, check: str) -> list[dict[str, str]]:
    """The findings of one check, without those that are well."""
    findings: list[dict[str, str]] = command("doctor", "--json").json["findings"]
    return [finding for finding in findings if finding["check"] == check and finding["verdict"] != "ok"]


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def test_all_is_well(command: CommandLine) -> None:
    """On a plain server with a plain circuit every finding is ok, nothing is advised, and it exits with 0."""
    breaker_at(command.url, "orders")

    ran = command("doctor", "--json")

    assert ran.exit_code == 0
    assert {finding["verdict"] for finding in ran.json["findings"]} == {"ok"}
    assert {finding["advice"] for finding in ran.json["findings"]} == {""}
    assert {finding["check"] for finding in ran.json["findings"]} == {
        *("latency", "version", "role", "memory", "clock", "scripts", "rights", "list", "leftovers"),
        "circuit orders",
    }


def test_the_text_says_the_same(command: CommandLine, redis: Redis) -> None:
    """Without --json each finding is a line, with the advice on the next, and the exit code is the same."""
    redis.sadd("sharedbreaker:breakers", "gone")

    ran = command("doctor")

    assert ran.exit_code == command("doctor", "--json").exit_code == 3
    assert re.search(
        r"^warning +leftovers: 'gone' is in the list, .*\n +-> sharedbreaker forget gone$",
        ran.out,
        re.MULTILINE,
    )


def test_leftovers_are_found_and_the_advice_removes_them(command: CommandLine, redis: Redis) -> None:
    """A name without circuit and keys without circuit are found; the command that is advised removes them."""
    redis.sadd("sharedbreaker:breakers", "gone")
    redis.zadd("sharedbreaker:{dead}:leases", {"token": 1})

    advice = [finding["advice"] for finding in found(command, "leftovers")]

    assert advice == ["sharedbreaker forget gone", "sharedbreaker forget dead"]
    for line in advice:
        command(*line.split()[1:], "--yes")
    assert found(command, "leftovers") == []
    assert redis.dbsize() == 0


def test_circuit_that_nobody_lists_is_found(command: CommandLine, redis: Redis) -> None:
    """A hash without its name in the list is found; the command that is advised lists it."""
    breaker_at(command.url, "orders")
    redis.delete("sharedbreaker:breakers")

    (finding,) = found(command, "leftovers")

    words = finding["advice"].partition(",")[0].split()
    assert words[:2] == ["redis-cli", "SADD"]
    redis.execute_command(*words[1:])
    assert found(command, "leftovers") == []


def test_settings_that_go_to_and_fro_are_found(command: CommandLine) -> None:
    """Two processes that declare in turn are found with both values; one change of settings is none."""
    breaker_at(command.url, "orders", failure_threshold=3)
    breaker_at(command.url, "orders", failure_threshold=4)
    assert found(command, "circuit orders") == []

    breaker_at(command.url, "orders", failure_threshold=3)

    (finding,) = found(command, "circuit orders")
    assert finding["verdict"] == "warning"
    assert re.search(r"failure_threshold goes to and fro: 4 by \S+ and 3 by \S+ last", finding["what"])


def test_settings_that_go_to_and_fro_under_a_tuned_one_are_found(command: CommandLine) -> None:
    """Tuning hides no drift: what is declared beside it is looked at as well."""
    breaker_at(command.url, "orders", failure_threshold=3)
    command("tune", "orders", "failure_threshold=9")
    for threshold in (4, 3, 4):
        breaker_at(command.url, "orders", failure_threshold=threshold)

    whats = [finding["what"] for finding in found(command, "circuit orders")]

    assert any("failure_threshold goes to and fro" in what for what in whats)
    assert any("failure_threshold tuned by" in what for what in whats)


def test_calls_of_the_dead_are_found(command: CommandLine, redis: Redis) -> None:
    """Leases that are over and that nobody has counted yet are told of, as a note."""
    breaker_at(command.url, "orders")
    redis.zadd(f"{KEY}:leases", {"one": 1, "two": 2})

    (finding,) = found(command, "circuit orders")

    assert finding["verdict"] == "note"
    assert "2 calls never reported" in finding["what"]
    redis.delete(f"{KEY}:leases")


def test_hold_that_lasts_is_found(command: CommandLine, redis: Redis) -> None:
    """A hold of more than a day is told of, with who holds and the command that ends it."""
    breaker_at(command.url, "orders").force_open("for a minute", who="ann")
    assert found(command, "circuit orders") == []
    held_at = int(redis.hget(KEY, "held_at") or 0)
    redis.hset(KEY, "held_at", str(held_at - int(LONG_HOLD_SECONDS * 1000) - 1))

    (finding,) = found(command, "circuit orders")

    assert "held open by ann for 1 d" in finding["what"]
    command(*finding["advice"].partition("sharedbreaker ")[2].split())
    assert found(command, "circuit orders") == []


def test_fields_that_no_script_wrote_are_found(command: CommandLine, redis: Redis) -> None:
    """A typo in a hash is named."""
    breaker_at(command.url, "orders")
    redis.hset(KEY, mapping={"state": "opne", "probe_timeout_ms": "a minute"})

    (finding,) = found(command, "circuit orders")

    assert "state, probe_timeout_ms" in finding["what"]


def test_circuit_that_cannot_be_read_is_broken(command: CommandLine, redis: Redis) -> None:
    """A key of another type is a failure, by 4, and does not hide the other circuits."""
    breaker_at(command.url, "orders")
    redis.sadd("sharedbreaker:breakers", "broken", "a b")
    redis.set("sharedbreaker:{broken}", "a string")

    ran = command("doctor", "--json")

    verdicts = {finding["check"]: finding["verdict"] for finding in ran.json["findings"]}
    assert ran.exit_code == 4
    assert verdicts["circuit broken"] == verdicts["circuit a b"] == "failure"
    assert verdicts["circuit orders"] == "ok"


@pytest.mark.parametrize(
    ("policy", "verdict"), [("allkeys-lru", "warning"), ("volatile-lru", "ok"), ("noeviction", "ok")]
)
def test_policy_that_evicts_circuits_is_found(own_server: RedisServer, policy: str, verdict: str) -> None:
    """A policy that may evict a circuit is a warning; those that cannot are none."""
    with own_server.client() as client:
        client.config_set("maxmemory-policy", policy)

    findings = CommandLine(own_server.url)("doctor", "--json").json["findings"]

    (memory,) = [finding for finding in findings if finding["check"] == "memory"]
    assert (memory["verdict"], policy in memory["what"]) == (verdict, True)


def test_full_memory_is_found(own_server: RedisServer) -> None:
    """A server that is nearly full is a warning."""
    with own_server.client() as client:
        client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 1.02))

    (memory,) = found(CommandLine(own_server.url), "memory")

    assert "nearly full" in memory["advice"]


def test_replica_is_found(own_server: RedisServer, redis_server: RedisServer) -> None:
    """A replica is a failure: it takes no writes."""
    with own_server.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", redis_server.port)
        client.config_set("replica-serve-stale-data", "yes")

    (role,) = found(CommandLine(own_server.url), "role")

    assert role["verdict"] == "failure"


def test_clock_that_is_off_is_found(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock here that is a minute ahead is a warning that says by how much and which way."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 60)

    (clock,) = found(command, "clock")

    assert "1 min behind" in clock["what"] or "59 s behind" in clock["what"]


class User:
    """A user of the session's server with the rights that a test gives it."""

    def __init__(self, server: RedisServer, admin: Redis) -> None:
        self._admin = admin
        self.command = CommandLine(f"redis://operator:PASSWORD@127.0.0.1:{server.port}/0")

    def may(self, *words: str) -> None:
        self._admin.execute_command("ACL", "DELUSER", "operator")
        self._admin.execute_command("ACL", "SETUSER", "operator", "on", ">PASSWORD", *words)


@pytest.fixture
def user(redis: Redis, redis_server: RedisServer) -> Iterator[User]:
    yield User(redis_server, redis)
    redis.execute_command("ACL", "DELUSER", "operator")


def documented(page: str, pattern: str) -> list[str]:
    found_there = re.search(pattern, (DOCS / page).read_text())
    assert found_there is not None
    return re.findall(r"\+[\w|]+", found_there[0])


RIGHTS = documented("redis.md", r"ACL SETUSER breaker .*")
OF_THE_CLI = documented("cli.md", r"(?s)Looking and acting take.*?`forget`")
OF_THE_DOCTOR = documented("cli.md", r"(?s)`doctor` looks further.*?says")


def test_documented_rights_suffice_for_every_verb(user: User, redis: Redis) -> None:
    """With the rights of both pages every verb does what it should."""
    user.may("~sharedbreaker:*", *RIGHTS, *OF_THE_CLI)
    breaker_at(user.command.url, "orders")

    for words in (
        ("status",),
        ("show", "orders"),
        ("history", "orders"),
        ("hold-open", "orders"),
        ("close", "orders"),
        ("disable", "orders"),
        ("enable", "orders"),
        ("tune", "orders", "timeout=5"),
        ("forget", "orders", "--yes"),
    ):
        ran = user.command(*words)
        assert ran.exit_code == (4 if words[0] == "status" and "held" in ran.out else 0), ran.err


def test_documented_rights_suffice_for_the_doctor(user: User, redis: Redis) -> None:
    """With the doctor's rights as well it looks at everything."""
    user.may("~sharedbreaker:*", *RIGHTS, *OF_THE_CLI, *OF_THE_DOCTOR)
    breaker_at(user.command.url, "orders")

    ran = user.command("doctor", "--json")

    assert {finding["verdict"] for finding in ran.json["findings"]} == {"ok"}
    assert ran.exit_code == 0


def rights_in(ran: Ran) -> list[dict[str, Any]]:
    return [
        finding
        for finding in ran.json["findings"]
        if finding["check"] == "rights" and finding["verdict"] == "failure"
    ]


@pytest.mark.parametrize("has_dry_run", [True, False], ids=["ACL DRYRUN", "by trying"])
@pytest.mark.parametrize("missing", ["+hincrby", "+zrem", "+pexpire", "+xadd"])
def test_missing_right_is_found_and_the_advice_grants_it(
    user: User, redis: Redis, missing: str, has_dry_run: bool
) -> None:
    """A right that a breaker lacks is a failure that names it; the command that is advised grants it."""
    dry_run = OF_THE_DOCTOR if has_dry_run else ()
    user.may("~sharedbreaker:*", *RIGHTS, *OF_THE_CLI, *dry_run, f"-{missing[1:]}")

    ran = user.command("doctor", "--json")

    (finding,) = rights_in(ran)
    assert ran.exit_code == 4
    assert f"needs: {missing[1:].upper()} (" in finding["what"]
    redis.execute_command(*finding["advice"].replace(" USER ", " operator ").split())
    assert rights_in(user.command("doctor", "--json")) == []
    assert [key for key in redis.scan_iter() if "doctor" in key] == []


def test_what_may_not_be_looked_at_is_unknown(user: User) -> None:
    """A user without INFO and SCAN gets the rest, and what would let it see more."""
    user.may("~sharedbreaker:*", *RIGHTS, *OF_THE_CLI)

    ran = user.command("doctor", "--json")

    unknown = {
        finding["check"]: finding["advice"]
        for finding in ran.json["findings"]
        if finding["verdict"] == "unknown"
    }
    assert unknown.keys() == {"version", "role", "memory", "leftovers"}
    assert all("(+" in advice for advice in unknown.values())
    assert ran.exit_code == 0


def test_every_right_that_is_documented_is_examined() -> None:
    """What the doctor tries is what redis.md and cli.md list."""
    from sharedbreaker.cli.examination.patient import Patient
    from sharedbreaker.cli.examination.rights import trials

    tried = {f"+{name.lower()}" for name in trials(Patient("redis://localhost", "sharedbreaker", 1))}

    assert tried == {*RIGHTS, *OF_THE_CLI}


def test_scratch_keys_are_no_circuits() -> None:
    """What is tried is tried on keys under the prefix that no circuit of anybody's is likely to have."""
    from sharedbreaker.cli.examination.patient import SCRATCH

    assert keys_of(SCRATCH).circuit == "sharedbreaker:{sharedbreaker.doctor}"
