"""Wild cases of operations: settings that differ between pods, and settings that make no sense."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from case_callers import Caller
from case_kinds import for_both_kinds, strict_and_stale
from redis import Redis
from verbs import CommandLine
from verbs import command as command

from circuit_in_redis import CircuitInRedis, be_rejected, fail, new_breaker, succeed
from sharedbreaker import (
    AsyncCircuitBreaker,
    CircuitBreaker,
    FailureRate,
    Outcome,
    SettingsError,
    SlowCallRate,
    initialize_circuit_breakers,
)
from sharedbreaker.demo.redis_server import RedisServer

OLD: dict[str, Any] = {"failure_threshold": 5, "timeout": 1, "success_threshold": 1}
NEW: dict[str, Any] = {"failure_threshold": 10, "timeout": 3, "success_threshold": 3}


@for_both_kinds
@strict_and_stale
def test_sb104_who_declared_last_decides_for_all(redis: Redis, max_staleness: float) -> None:
    """In a rolling deploy one set of settings is in force at a time, whoever reports: the latest declared."""
    old, new = (new_breaker(redis, max_staleness=max_staleness, **settings) for settings in (OLD, NEW))
    for pod in (old, new):
        pod.enable()  # declares, and holds no success back
    circuit = CircuitInRedis(redis)

    for pod in (old, new, old, new, old, new, old, new, old):
        fail(pod)
    assert circuit.numbers("failure_threshold", "failure_count") == {
        "failure_threshold": 10,
        "failure_count": 9,
    }
    fail(old)

    assert circuit.field("state") == "open"
    assert circuit.number("open_until") - circuit.number("opened_at") == 3000
    assert old.get_metrics()["failure_threshold"] == new.get_metrics()["failure_threshold"] == 10


@for_both_kinds
@strict_and_stale
def test_sb104_it_recovers_whichever_pods_probe(redis: Redis, max_staleness: float) -> None:
    """An opening lasts as long as it was begun with; probes of both pods add up, and none is stuck."""
    old, new = (new_breaker(redis, max_staleness=max_staleness, **settings) for settings in (OLD, NEW))
    for pod in (old, new):
        pod.enable()
    fail(old, 10)
    time.sleep(max_staleness)
    be_rejected(new)
    circuit = CircuitInRedis(redis)
    circuit.elapse(3000)
    time.sleep(max_staleness)

    for pod in (old, new, old):
        succeed(pod)

    assert circuit.field("state") == "closed"
    assert circuit.transitions() == {
        "closed_to_open": 1,
        "open_to_half_open": 1,
        "half_open_to_closed": 1,
    }


def test_sb104_no_pod_writes_over_the_other_again_and_again(redis: Redis, redis_server: RedisServer) -> None:
    """Each process declares once, at its first call: two events, however many calls there are."""
    with Caller(redis_server.url, **OLD) as old, Caller(redis_server.url, "async", **NEW) as new:
        for _ in range(20):
            assert {old.do("succeed"), new.do("succeed")} == {"success"}

    circuit = CircuitInRedis(redis)
    assert [event["why"] for event in circuit.events()] == ["declared", "declared"]
    assert circuit.number("failure_threshold") == 10


def test_sb104_the_mismatch_is_seen(redis: Redis, redis_server: RedisServer, command: CommandLine) -> None:
    """Settings that go to and fro are a finding of `doctor`, with both values and who declared them."""
    for settings in (OLD, NEW, OLD, NEW):
        with Caller(redis_server.url, **settings) as pod:
            pod.do("succeed")

    ran = command("doctor")

    assert ran.exit_code == 3
    assert "failure_threshold goes to and fro" in ran.out
    assert "declared" in command("history", "orders").out


@for_both_kinds
def test_peer_a_new_threshold_is_not_ignored_for_ever(redis: Redis, redis_server: RedisServer) -> None:
    """Settings that a circuit was first made with are not frozen: those of a deploy are in force."""
    succeed(new_breaker(redis, failure_threshold=3))
    deployed = new_breaker(redis_server.url, failure_threshold=50)
    fail(deployed, 49)

    assert deployed.get_metrics()["state"] == "closed"


RATES: dict[str, Any] = {"failure_rate": FailureRate, "slow_call_rate": partial(SlowCallRate, duration=1)}
NONSENSE: list[tuple[str, Any]] = [
    *(("failure_threshold", value) for value in (0, -1, 2.5, "5", True, None, math.nan, 1 << 60)),
    *(("timeout", value) for value in (0, -1, math.nan, math.inf, "60", True, None)),
    *(("success_threshold", value) for value in (0, -1, 1.5, "2", True)),
    *(("half_open_max_calls", value) for value in (0, -1, 1.5, "1", True)),
    *(("probe_timeout", value) for value in (0, -1, math.nan, math.inf, "1")),
    *(("lease_timeout", value) for value in (0, -1, math.nan, math.inf)),
    *(("idle_ttl", value) for value in (0, -1, math.nan, math.inf)),
    *(("max_timeout", value) for value in (0, -1, math.nan, math.inf)),
    *(("max_staleness", value) for value in (-1, math.nan, math.inf, "1")),
    *(("redis_timeout", value) for value in (0, -1, math.nan, math.inf)),
    *(("redis_retry_interval", value) for value in (-1, math.nan, math.inf)),
    *(("on_redis_error", value) for value in ("", "ignore", None, 1)),
    *(("expected_exception", value) for value in ("Exception", 5, (ValueError, "x"), int)),
    *(("name", value) for value in ("", " orders", None, 5)),
    *(("prefix", value) for value in ("", "br{ace")),
    *(("redis", value) for value in ("localhost:6379", "http://host", object, 6379)),
    *(("retry_after_of", value) for value in (5, "Retry-After")),
    ("on_redis_change", "log"),
    *(("failure_rate", value) for value in (0, 1.5, 0.5, True, "50%")),
    *(("slow_call_rate", value) for value in (0, 1.5, 0.5, "1s")),
    *(("timeout_growth", value) for value in (0, 0.5, -1, math.nan, math.inf, "2")),
    *(("ramp_up", value) for value in (-1, math.nan, math.inf, "1")),
    *(("minimum_reporters", value) for value in (0, -1, 1.5, True)),
    *(("max_in_flight", value) for value in (-1, 1.5, "1", True)),
    *(("mode", value) for value in ("", "off", None, True)),
]


@pytest.mark.parametrize("kind", [CircuitBreaker, AsyncCircuitBreaker])
@pytest.mark.parametrize(("setting", "value"), NONSENSE, ids=repr)
def test_sb105_nonsense_is_refused_and_named(
    kind: type[CircuitBreaker | AsyncCircuitBreaker], setting: str, value: object
) -> None:
    """A setting that makes no sense is a ValueError at once, and the message has its name."""
    settings: dict[str, Any] = {"redis": "redis://127.0.0.1:1", setting: value}
    with pytest.raises(SettingsError) as caught:
        kind(**settings)

    assert isinstance(caught.value, ValueError)
    assert setting in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("threshold", (0, -0.5, 1.01, 50, math.nan, "0.5", True)),
        ("minimum_calls", (0, -1, 1.5, "20")),
        ("window", (0, -1, math.nan, math.inf, "60")),
    ],
)
@pytest.mark.parametrize("rate", ["failure_rate", "slow_call_rate"])
def test_sb105_a_rate_over_one_is_refused(rate: str, setting: str, values: tuple[Any, ...]) -> None:
    """Shares are of one and not of a hundred, and what cannot be a share, a window or a number is named."""
    for value in values:
        nonsense = {setting: value}
        with pytest.raises(SettingsError, match=setting):
            CircuitBreaker(**{rate: RATES[rate](**nonsense)})


@for_both_kinds
def test_sb105_fewer_probes_than_successes_are_needed_still_close_it(redis: Redis) -> None:
    """One probe at a time, and three successes wanted: probes follow each other, and the circuit closes."""
    breaker = new_breaker(redis, success_threshold=3, half_open_max_calls=1)
    fail(breaker, 3)
    circuit = CircuitInRedis(redis)
    circuit.end_open_period()

    succeed(breaker, 3)
    assert circuit.field("state") == "closed"


@for_both_kinds
def test_sb105_a_lease_shorter_than_the_call_wedges_nothing(redis: Redis) -> None:
    """A call that outlasts its lease is counted as lost; its result, which comes late, decides nothing."""
    breaker = new_breaker(redis, lease_timeout=0.2, failure_threshold=2)
    circuit = CircuitInRedis(redis)
    fail(breaker)
    admission = breaker.admit()
    circuit.elapse(60_000)
    breaker.report(admission, Outcome.FAILURE)
    succeed(breaker)

    assert circuit.field("state") == "closed"
    fail(breaker, 2)
    assert circuit.field("state") == "open"


@pytest.mark.parametrize("variable", ["SHAREDBREAKER_REDIS_URL", "REDIS_URL"])
@pytest.mark.parametrize("make", [CircuitBreaker, AsyncCircuitBreaker])
def test_sb105_an_environment_that_makes_no_sense_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, make: Callable[[], object]
) -> None:
    """A broken URL from the environment is told of by its variable, and nothing of it is shown."""
    monkeypatch.delenv("SHAREDBREAKER_REDIS_URL", raising=False)
    monkeypatch.setenv(variable, "redis://:hunter2@host:notaport")

    with pytest.raises(SettingsError, match=variable) as caught:
        make()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("blanks", ["  {}", "{}\n", "\t{} \n"])
def test_sb105_blanks_around_a_url_do_no_harm(
    redis: Redis, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, blanks: str
) -> None:
    """A URL with spaces or a line break around it, as files and YAML leave them, leads where it should."""
    monkeypatch.setenv("SHAREDBREAKER_REDIS_URL", blanks.format(redis_server.url))
    breaker = CircuitBreaker(name="orders", redis_timeout=5)
    succeed(breaker)

    assert breaker.get_metrics()["redis_available"] is True
    assert redis.exists("sharedbreaker:{orders}")


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"circuit_breaker": {"failure_threshold": " 5"}}, "failure_threshold"),
        ({"circuit_breaker": {"failure_threshold": 0}}, "failure_threshold"),
        ({"circuit_breaker": {"timeout": "soon"}}, "timeout"),
        ({"circuit_breaker": {"timeout": math.nan}}, "timeout"),
        ({"circuit_breaker": {"success_threshold": -1}}, "success_threshold"),
        ({"circuit_breaker": {"enabled": "perhaps"}}, "enabled"),
        ({"redis": {"port": "many"}}, "port"),
        ({"redis": "nonsense"}, "redis"),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_sb105_a_configuration_that_makes_no_sense_says_where(config: dict[str, Any], named: str) -> None:
    """What the three Google AI breakers are configured with is checked as well, and named as it is there.

    Failed at first: a port that is no number was a plain ValueError that named nothing.
    """
    with pytest.raises(SettingsError, match=named):
        initialize_circuit_breakers(config)
