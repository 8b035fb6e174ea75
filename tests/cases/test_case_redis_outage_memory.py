"""What an outage leaves behind: nothing that decides, nothing that pretends, and few lines in the log."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis
from stale_circuits import wait_until
from topology_lifecycle import wait_for_tallies, wait_until_shared
from topology_outages import Place, place_of, refused, running_server, silent
from verbs import CommandLine
from web_servers import TOKEN, behind_flask

from circuit_in_redis import CircuitInRedis, be_rejected, fail, new_breaker, succeed, trip_and_wait
from sharedbreaker import CircuitBreaker, Operator, Outcome, StoreError
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.web import BreakerSite
from sharedbreaker.store.fleet import Fleet

QUICK: dict[str, Any] = {"redis_timeout": 5, "redis_retry_interval": 0.05}
"""For outages that refuse: a machine that is slow for a moment is none."""
STALENESSES = pytest.mark.parametrize("max_staleness", [0, 0.02], ids=["strict", "stale"])
ACTS: dict[str, Callable[[Any], None]] = {
    "force_open": lambda target: target.force_open("a test"),
    "force_close": lambda target: target.force_close("a test"),
    "disable": lambda target: target.disable("a test"),
    "enable": lambda target: target.enable("a test"),
}
NOT_ASKED = r"'orders'.*could not be asked"
VERBS = {"force_open": "hold-open", "force_close": "close", "disable": "disable", "enable": "enable"}


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def place(server: RedisServer) -> Iterator[Place]:
    with place_of(server) as place:
        yield place


@STALENESSES
def test_sb060_each_outage_begins_from_the_shared_state(place: Place, max_staleness: float) -> None:
    """What one outage opened is over with it: neither the fleet nor the next outage begins with it."""
    breaker = new_breaker(place.url, max_staleness=max_staleness, **QUICK)
    other = new_breaker(place.admin)
    succeed(breaker)
    with refused(place):
        fail(breaker, 3)
        be_rejected(breaker)
        assert CircuitInRedis(place.admin).field("state") == "closed"
        succeed(other)
    wait_until_shared(breaker)
    wait_until(lambda: breaker.get_state()["state"] == "closed", "it is as closed as the fleet's")
    succeed(breaker)
    succeed(other)

    with refused(place):
        succeed(breaker)
        fail(breaker, 2)
        succeed(breaker)
    wait_until_shared(breaker)
    wait_for_tallies(breaker, success=6, failure=5, rejected=1)
    assert CircuitInRedis(place.admin).transitions() == {}


@STALENESSES
def test_sb060_circuit_that_the_fleet_opened_meanwhile_is_open_afterwards(
    place: Place, max_staleness: float
) -> None:
    """A process that was alone and saw successes obeys the circuit that others opened in the meantime."""
    breaker = new_breaker(place.url, max_staleness=max_staleness, **QUICK)
    other = new_breaker(place.admin)
    succeed(breaker)
    with refused(place):
        succeed(breaker, 3)
        fail(other, 3)
    wait_until_shared(breaker)

    assert be_rejected(breaker).why == "open"
    assert CircuitInRedis(place.admin).field("state") == "open"


def test_sb060_hold_that_was_let_go_meanwhile_is_over(place: Place) -> None:
    """A hold that this process took into its outage, and that was ended elsewhere, does not come back."""
    breaker, other = new_breaker(place.url, **QUICK), new_breaker(place.admin)
    succeed(breaker)
    other.force_open("maintenance")
    be_rejected(breaker)
    with refused(place):
        assert be_rejected(breaker).why == "held_open"
        other.force_close("it is over")
    wait_until_shared(breaker)
    succeed(breaker)
    with refused(place):
        succeed(breaker)
    wait_until_shared(breaker)


def test_sb060_what_was_decided_alone_is_told_in_the_history(place: Place) -> None:
    """One event says who was alone and how many calls it decided; it is told once."""
    breaker = new_breaker(place.url, **QUICK)
    succeed(breaker)
    with refused(place):
        fail(breaker, 3)
        be_rejected(breaker, 2)
    wait_until_shared(breaker)

    (event,) = [event for event in CircuitInRedis(place.admin).events() if event["why"] == "was_away"]
    assert event["calls"] == "5"
    assert ":" in event["who"]


@pytest.mark.parametrize("act", ACTS)
def test_sb061_manual_act_without_redis_raises_and_changes_nothing(place: Place, act: str) -> None:
    """Who acts while Redis is away is told so, and neither this process nor the fleet has changed."""
    breaker = new_breaker(place.url, **QUICK)
    succeed(breaker)
    before = CircuitInRedis(place.admin).fields()
    with refused(place):
        with pytest.raises(StoreError, match=NOT_ASKED):
            ACTS[act](breaker)
        with pytest.raises(StoreError, match=NOT_ASKED):
            ACTS[act](Operator("orders", redis=place.url, timeout=0.25))
        succeed(breaker)
        metrics = breaker.get_metrics()
        assert (metrics["state"], metrics["mode"]) == ("closed", "automatic")
        fail(breaker, 3)
        be_rejected(breaker)
    wait_until_shared(breaker)
    after = CircuitInRedis(place.admin).fields()
    assert {name: after[name] for name in ("state", "mode", "epoch")} == {
        name: before[name] for name in ("state", "mode", "epoch")
    }


def test_sb061_act_is_in_no_doubt_when_its_answer_is_lost(place: Place) -> None:
    """An act that was not answered raises, and doing it again is no second transition."""
    breaker = new_breaker(place.url, redis_timeout=0.25, redis_retry_interval=0.05)
    succeed(breaker)
    with silent(place), pytest.raises(StoreError):
        breaker.force_open("a test")
    wait_until_shared(breaker)
    breaker.force_open("a test")
    breaker.force_open("a test")

    assert be_rejected(breaker).why == "held_open"
    assert CircuitInRedis(place.admin).transitions() == {"closed_to_open": 1}


@pytest.mark.sync_only(why="the command line and the site have no kind")
@pytest.mark.parametrize("act", ACTS)
def test_sb061_command_line_and_site_say_so(place: Place, act: str) -> None:
    """The command line exits with 5 and one line, and the site answers 503, while Redis is away."""
    breaker = new_breaker(place.url, **QUICK)
    succeed(breaker)
    wait_for_tallies(breaker, success=1)
    command = CommandLine(place.url)
    site = BreakerSite(whole_fleet=True, redis=place.url, token=TOKEN)
    with refused(place):
        ran = command(VERBS[act], "orders", "--reason", "a test", "--json")
        assert ran.exit_code == 5, ran
        assert json.loads(ran.out)["error"] == "redis_away"
        with behind_flask(site, int) as client:
            answer = client.act({"name": "orders", "act": act, "reason": "a test"})
            assert answer.status == 503, answer
            assert "could not be asked" in answer.document["error"]
    assert CircuitInRedis(place.admin).field("mode") == "automatic"


def lines_of(caplog: pytest.LogCaptureFixture, breaker: CircuitBreaker) -> list[logging.LogRecord]:
    """What the log tells of this breaker: those of other tests may still have something to say."""
    return [record for record in caplog.records if f"'{breaker.name}'" in record.getMessage()]


def told_of(caplog: pytest.LogCaptureFixture, breaker: CircuitBreaker, words: str) -> int:
    return sum(words in record.getMessage() for record in lines_of(caplog, breaker))


def wait_a_little() -> None:
    """Longer than the shortest interval between two tries."""
    time.sleep(0.01)


@STALENESSES
def test_sb062_outage_is_a_handful_of_lines(
    place: Place, caplog: pytest.LogCaptureFixture, max_staleness: float
) -> None:
    """Thousands of calls without Redis make one line when it goes, one when it is back, and no traceback."""
    caplog.set_level(logging.DEBUG, "sharedbreaker")
    settings: dict[str, Any] = {"redis_timeout": 5, "redis_retry_interval": 0.005}
    breaker = new_breaker(place.url, name="flooded", max_staleness=max_staleness, **settings)
    fail(breaker)
    with refused(place):
        fail(breaker)
        succeed(breaker, 1000 if max_staleness else 2000)
        for _ in range(20):
            breaker.get_metrics()
            with pytest.raises(StoreError):
                breaker.snapshot()
    wait_until_shared(breaker)
    fail(breaker)
    wait_until(lambda: told_of(caplog, breaker, "answers again"), "its return is told")

    told = lines_of(caplog, breaker)
    assert [record for record in told if record.exc_info] == []
    assert len(told) <= 4
    assert told_of(caplog, breaker, "could not be asked") == 1


def test_sb062_outage_that_only_a_look_met_ends_in_the_log_as_well(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """Where only figures were asked for in the outage, its return is told as well, at the next call.

    Failed at first: the log said that Redis was gone, and never that it was back.
    """
    breaker = new_breaker(place.url, name="looked-at", redis_timeout=5, redis_retry_interval=0.001)
    succeed(breaker)
    with refused(place):
        assert not breaker.get_metrics()["redis_available"]
        assert told_of(caplog, breaker, "could not be asked") == 1
    wait_until_shared(breaker)
    wait_a_little()
    succeed(breaker)

    wait_until(lambda: told_of(caplog, breaker, "answers again"), "its return is told")


def test_sb062_outages_that_follow_each_other_do_not_flood_the_log(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """A Redis that comes and goes ten times within a minute is told of as once."""
    breaker = new_breaker(place.url, name="flapping", redis_timeout=5, redis_retry_interval=0.005)
    for _ in range(10):
        with refused(place):
            succeed(breaker)
        wait_until_shared(breaker)

    assert told_of(caplog, breaker, "could not be asked") == 1
    assert told_of(caplog, breaker, "answers again") <= 1


def test_sb063_errors_count_whoever_asks(place: Place) -> None:
    """Once a call, a report, a look or a scrape has met the outage, none of them waits for Redis again."""
    breaker = new_breaker(place.url, redis_timeout=0.25, redis_retry_interval=3600)
    succeed(breaker)
    admission = breaker.admit()
    with silent(place):
        breaker.report(admission, Outcome.SUCCESS)
        assert not breaker.get_metrics()["redis_available"]
        waited = place.proxy.taken
        for _ in range(50):
            succeed(breaker)
            breaker.get_metrics()
            breaker.get_state()
        assert place.proxy.taken == waited
    breaker._store.forget()


@STALENESSES
def test_sb063_one_broken_key_is_no_outage(
    redis: Redis, caplog: pytest.LogCaptureFixture, max_staleness: float
) -> None:
    """Where one circuit's key holds something else, it alone is decided locally; its siblings stay shared."""
    broken = new_breaker(redis, name="broken", max_staleness=max_staleness, **QUICK)
    siblings = [
        new_breaker(redis, name=f"sibling-{number}", max_staleness=max_staleness, **QUICK)
        for number in range(2)
    ]
    redis.set("sharedbreaker:{broken}", "not a hash")
    for _ in range(5):
        succeed(broken)
        for sibling in siblings:
            succeed(sibling)
    fail(broken, 3)
    be_rejected(broken)

    assert not broken.get_metrics()["redis_available"]
    for sibling in siblings:
        assert sibling.get_metrics()["redis_available"]
        fail(sibling, 3)
        assert redis.hget(f"sharedbreaker:{{{sibling.name}}}", "state") == "open"
    assert "'sharedbreaker:{broken}'" in caplog.text
    view = Fleet(redis).look()
    assert {circuit.name for circuit in view.circuits} >= {"sibling-0", "sibling-1"}
    redis.delete("sharedbreaker:{broken}")
    wait_until_shared(broken)


def test_sb063_wrong_questions_are_no_outage(redis: Redis) -> None:
    """A question that Redis refuses for what is in it leaves this breaker, and all others, shared."""
    breaker = new_breaker(redis, **QUICK)
    succeed(breaker)
    with pytest.raises(ValueError, match="reason"):
        breaker.force_open("x" * 501)
    with pytest.raises(ValueError, match="seconds"):
        breaker.force_open("a test", seconds=-1)

    assert breaker.get_metrics()["redis_available"]
    assert breaker.get_state()["state"] == "closed"
    circuit = trip_and_wait(breaker, redis)
    succeed(breaker, 2)
    assert circuit.field("state") == "closed"
