"""Cases SB-042 and SB-047: Redis forgets the scripts, or lets a user run few commands."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from case_variants import both_kinds, strict_and_stale
from redis import Redis
from topology_lifecycle import SharedCircuit, check_lifecycle, wait_for_tallies
from topology_outages import killed, place_of, running_server
from verbs import CommandLine
from worker import mix
from workforce import workers

from circuit_in_redis import (
    NAME,
    CircuitInRedis,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    trip_and_wait,
)
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.store.fleet import Fleet

DOCS = Path(__file__).parents[2] / "docs"
MANY = 1_000_000
PASSWORD = "hush-of-the-breaker"
numbers = itertools.count()
RIGHTS = re.compile(r"ACL SETUSER breaker on >PASSWORD (.+)")


def times_sent(redis: Redis) -> dict[str, int]:
    """How often Redis was asked for a script by its name, how often it was sent one whole."""
    stats: Any = redis.info("commandstats")
    return {
        command: stats.get(f"cmdstat_{command}", {"calls": 0})["calls"] for command in ("evalsha", "eval")
    }


@both_kinds
@strict_and_stale
def test_sb042_each_forgotten_script_is_sent_whole_once(
    redis: Redis, redis_server: RedisServer, max_staleness: float
) -> None:
    """After SCRIPT FLUSH a call makes one further round trip for each of its scripts, once; then none."""
    breaker = new_breaker(redis_server.url, max_staleness=max_staleness, failure_threshold=MANY)
    fail(breaker)
    redis.config_resetstat()
    fail(breaker)
    usual = times_sent(redis)

    redis.script_flush()
    redis.config_resetstat()
    fail(breaker)
    after_the_flush = times_sent(redis)
    redis.config_resetstat()
    fail(breaker)

    assert usual["eval"] == 0
    assert after_the_flush == {"evalsha": usual["evalsha"], "eval": usual["evalsha"]}
    assert times_sent(redis) == usual
    assert CircuitInRedis(redis).number("failed_calls") == 4


@both_kinds
@strict_and_stale
def test_sb042_probe_and_act_survive_the_flush(
    redis: Redis, redis_server: RedisServer, max_staleness: float
) -> None:
    """Scripts forgotten between a probe's admission and its report, or before an act, change nothing."""
    breaker = new_breaker(redis_server.url, max_staleness=max_staleness, success_threshold=1)
    circuit = trip_and_wait(breaker, redis)
    breaker._store.doubt_view()  # the time that was moved in Redis passes for what this process knows as well

    def work() -> str:
        redis.script_flush("ASYNC")
        return "done"

    assert breaker.call(work) == "done"
    assert (circuit.field("state"), circuit.leases()) == ("closed", {})
    for act in (breaker.force_open, breaker.force_close, breaker.disable, breaker.enable):
        redis.script_flush("SYNC")
        act()
    redis.script_flush()
    assert breaker.get_metrics()["redis_available"] is True
    assert circuit.tallies()["successful_calls"] == 1


def test_sb042_look_at_the_fleet_survives_the_flush(redis: Redis, redis_server: RedisServer) -> None:
    """A look at many circuits, which is a pipeline, shows them all also right after SCRIPT FLUSH."""
    for number in range(5):
        succeed(new_breaker(redis_server.url, name=f"circuit-{number}"))
    fleet = Fleet(redis_server.url)
    assert len(fleet.look().circuits) == 5

    redis.script_flush()
    view = fleet.look()

    assert [circuit.name for circuit in view.circuits] == [f"circuit-{number}" for number in range(5)]
    assert view.is_up
    assert not view.troubles


@strict_and_stale
def test_sb042_four_processes_under_load_count_exactly(
    redis: Redis, redis_server: RedisServer, max_staleness: float
) -> None:
    """Four processes call while SCRIPT FLUSH comes again and again: every call counts once."""
    settings = {"url": redis_server.url, "failure_threshold": MANY, "max_staleness": max_staleness}
    flushes = 0
    with workers(4, mix, seed=1, calls=80, **settings) as crew:
        for worker in crew:
            worker.tell()
        circuit = CircuitInRedis(redis)
        while flushes < 20 or not circuit.fields() or not any(circuit.tallies().values()):
            redis.script_flush("ASYNC" if flushes % 2 else "SYNC")
            flushes += 1
        ends = [worker.answer() for worker in crew]

    tallies = circuit.tallies()
    assert tallies == {
        "successful_calls": sum(end["success"] for end in ends),
        "failed_calls": sum(end["failure"] for end in ends),
        "ignored_calls": sum(end["ignored"] for end in ends),
        "released_calls": sum(end["released"] for end in ends),
        "rejected_calls": 0,
        "lost_calls": 0,
        "late_results": 0,
    }
    assert not any(event["why"] == "was_away" for event in circuit.events())


@pytest.fixture(scope="module")
def durable_server() -> Iterator[RedisServer]:
    with running_server() as server:
        yield server


@both_kinds
def test_sb042_restarted_redis_is_shared_again(durable_server: RedisServer) -> None:
    """A restart empties the script cache: calls go on meanwhile, and afterwards all are shared and exact."""
    with place_of(durable_server) as place:
        breaker = new_breaker(place.url, failure_threshold=MANY, redis_timeout=5, redis_retry_interval=0.05)
        succeed(breaker, 3)
        with killed(place):
            succeed(breaker, 2)
        succeed(breaker)
        wait_for_tallies(breaker, success=6)
        succeed(breaker)
        place.admin.config_resetstat()
        succeed(breaker, 5)
        assert times_sent(place.admin) == {"evalsha": 10, "eval": 0}


def documented_rights() -> list[str]:
    """What docs/redis.md says to grant."""
    page = (DOCS / "redis.md").read_text()
    found = RIGHTS.search(page)
    assert found is not None
    return found[1].split()


def documented_rights_of_the_cli() -> list[str]:
    """What docs/cli.md says to grant beside them."""
    page = (DOCS / "cli.md").read_text()
    sentence = page[page.index("Looking and acting take these rights") :].split("\n\n")[0]
    return re.findall(r"\+[a-z|]+", sentence)


@pytest.fixture
def url_of_user(redis: Redis, redis_server: RedisServer) -> Iterator[Callable[..., str]]:
    """Makes a user with the rights that it is given, and tells its URL."""
    users = []

    def make(*rights: str) -> str:
        users.append(f"breaker-{next(numbers)}")
        redis.execute_command("ACL", "SETUSER", users[-1], "on", f">{PASSWORD}", *rights)
        return f"redis://{users[-1]}:{PASSWORD}@127.0.0.1:{redis_server.port}/0"

    yield make
    for user in users:
        redis.acl_deluser(user)


@both_kinds
def test_sb047_documented_rights_suffice(redis: Redis, url_of_user: Callable[..., str]) -> None:
    """A user with exactly the rights of docs/redis.md leads a circuit's life, SCRIPT FLUSH in between."""
    url = url_of_user(*documented_rights())
    first, second = (new_breaker(url, idle_ttl=100) for _ in range(2))

    check_lifecycle(first, second, SharedCircuit(redis), halfway=redis.script_flush)


def test_sb047_documented_rights_suffice_for_whoever_looks_and_acts(
    redis: Redis, url_of_user: Callable[..., str]
) -> None:
    """With the rights that docs/cli.md adds every verb works, and `doctor` finds nothing that is lacking."""
    url = url_of_user(*documented_rights(), *documented_rights_of_the_cli())
    succeed(new_breaker(url))
    command = CommandLine(url)
    verbs = (
        *(["status"], ["show", NAME], ["history", NAME], ["watch", "--count", "1"]),
        *(["hold-open", NAME], ["close", NAME], ["disable", NAME], ["enable", NAME]),
        *(["tune", NAME, "failure_threshold=7"], ["doctor"], ["forget", NAME, "--yes"]),
    )
    for verb in verbs:
        redis.script_flush()
        ran = command(*verb)
        assert ran.exit_code == 0, f"{verb}: {ran.out}{ran.err}"
    assert not redis.exists(f"sharedbreaker:{{{NAME}}}")


@both_kinds
@pytest.mark.parametrize("missing", ["evalsha", "eval"])
def test_sb047_denied_script_is_one_refusal_and_no_detour(
    redis: Redis, url_of_user: Callable[..., str], caplog: pytest.LogCaptureFixture, missing: str
) -> None:
    """Without EVALSHA or EVAL calls run by the local rules, Redis refuses once, and one line says why."""
    redis.script_flush()
    rights = [right for right in documented_rights() if right != f"+{missing}"]
    url = url_of_user(*rights)
    breaker = new_breaker(url, redis_retry_interval=60)
    redis.config_resetstat()

    with caplog.at_level(logging.WARNING, "sharedbreaker"):
        succeed(breaker)
        fail(breaker, 3)
        be_rejected(breaker)

    assert sum(refusals_in(redis).values()) == 1
    assert f"'{missing}'" in caplog.text or f"+{missing}" in caplog.text.lower()
    assert len([record for record in caplog.records if missing in record.getMessage().lower()]) == 1
    assert PASSWORD not in caplog.text


def refusals_in(redis: Redis) -> dict[str, int]:
    """How often each script command was refused for want of a right."""
    stats: Any = redis.info("commandstats")
    return {
        name: told["rejected_calls"]
        for name, told in stats.items()
        if name in ("cmdstat_evalsha", "cmdstat_eval") and told["rejected_calls"]
    }
