"""docs/how-it-works.md: its diagram is that of the rules, its reasons those of events, its examples run."""

from __future__ import annotations

import re
from typing import Any

import pytest
from docs_page import page
from redis import Redis
from state_diagram import REASONS, with_diagram

from circuit_in_redis import CircuitInRedis, be_rejected, fail, new_breaker, succeed
from sharedbreaker import FailureRate, Outcome, SlowCallRate
from sharedbreaker.circuit.state import TRANSITIONS
from sharedbreaker.demo.redis_server import RedisServer

PAGE = page("how-it-works.md")


def test_the_diagram_is_up_to_date() -> None:
    """What `make docs` draws from the transition table is what is there."""
    assert with_diagram(PAGE.text) == PAGE.text


def test_the_diagram_has_every_way_and_no_other() -> None:
    """The arrows drawn are the transitions of the rules, in their order."""
    drawn = re.findall(r"^    (\w+) --> (\w+): ", PAGE.blocks("mermaid")[0].text, re.MULTILINE)

    assert drawn == [(way.before.value, way.after.value) for way in TRANSITIONS]


def test_events_give_the_reasons_of_the_table(redis: Redis) -> None:
    """A circuit that takes every way for every reason writes just the reasons that the table explains."""
    breaker: Any = new_breaker(redis)
    circuit = CircuitInRedis(redis)
    fail(breaker, 3)  # failure_threshold
    circuit.end_open_period()
    fail(breaker)  # open_timeout_over, probe_failed
    circuit.end_open_period()
    succeed(breaker, 2)  # success_threshold
    breaker.force_open()  # from closed
    breaker.force_close()  # from open
    breaker.force_open(seconds=60)
    circuit.set(open_until=circuit.now_ms())
    succeed(breaker)  # hold_over
    breaker.force_open()  # from half-open
    breaker.disable()  # from open
    breaker.enable()
    for end in (breaker.force_close, breaker.disable):  # from half-open
        breaker.force_open(seconds=60)
        circuit.set(open_until=circuit.now_ms())
        succeed(breaker)
        end()

    breaker.force_close()
    breaker = new_breaker(redis, failure_threshold=None, failure_rate=FailureRate(1, minimum_calls=1))
    fail(breaker)  # failure_rate
    breaker.force_close()
    breaker = new_breaker(redis, failure_threshold=None, slow_call_rate=SlowCallRate(5, minimum_calls=1))
    admission = breaker.admit()
    breaker.report(admission._replace(began=admission.began - 5), Outcome.SUCCESS)  # slow_call_rate

    seen: dict[str, set[str]] = {way.name: set() for way in TRANSITIONS}
    for event in circuit.events():
        if event["from"] != event["to"]:
            seen[f"{event['from']}_to_{event['to']}"].add(event["why"])
    assert seen == {name: set(reasons) for name, reasons in REASONS.items()}


def test_nothing_moves_before_a_call_comes(redis: Redis) -> None:
    """A circuit whose open time is over is open for whoever looks, and half-open for whoever calls."""
    breaker = new_breaker(redis)
    fail(breaker, 3)
    be_rejected(breaker)
    CircuitInRedis(redis).end_open_period()

    assert breaker.get_state()["state"] == "open"
    succeed(breaker)
    assert breaker.get_state()["state"] == "half_open"


@pytest.mark.parametrize("number", range(len(PAGE.blocks("python"))))
def test_examples_run(
    redis: Redis, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Each example runs as it stands and holds what it asserts."""
    monkeypatch.setenv("SHAREDBREAKER_REDIS_URL", redis_server.url)
    code = PAGE.blocks("python")[number].text
    assert "assert " in code

    exec(code, {})  # noqa: S102 - it is the documentation


def test_the_keys_are_those_of_the_code() -> None:
    """The table of keys names each key that the code uses, and no other."""
    from sharedbreaker.store.keys import keys_of

    keys = keys_of("NAME")
    named = re.findall(r"^\| `([^`]+)` \|", PAGE.section("What is in Redis"), re.MULTILINE)

    assert sorted(named) == sorted({*keys.of_script, keys.registry})
