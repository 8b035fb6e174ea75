"""Settings: what makes no sense is refused at construction, with the argument, the value and the rule."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from redis import Redis

from circuit_in_redis import CircuitInRedis, new_breaker, succeed
from sharedbreaker import CircuitBreaker, Outcome, SettingsError, SharedBreakerError
from sharedbreaker.circuit.settings import Settings

COUNTS = ["failure_threshold", "success_threshold", "half_open_max_calls"]
NO_COUNTS = [0, -1, 2.5, 2.0, "5", "", True, False, [5], 10**12, float("nan"), Decimal(5)]
TIMES = ["timeout", "probe_timeout", "lease_timeout", "idle_ttl", "redis_timeout"]
NO_TIMES = [
    0,
    -1,
    -0.0,
    0.0001,
    float("nan"),
    float("inf"),
    float("-inf"),
    True,
    "60",
    "",
    [60],
    timedelta(0),
    timedelta(seconds=-1),
    timedelta.max,
    10**12,
    10**400,
]
NO_NAMES = [
    "",
    " ",
    "a b",
    "{orders}",
    "a{b}c",
    "}",
    'say "hi"',
    "it's",
    "a\nb",
    "orders\n",
    "tab\t",
    "null\0",
    "größe",
    "注文",
    "٣",
    "a*",
    "a\\b",
    "x" * 129,
    None,
    5,
    b"orders",
    ["orders"],
]


def refused(argument: str, **arguments: Any) -> str:
    """The message with which a breaker with these arguments is refused."""
    with pytest.raises(SettingsError) as caught:
        CircuitBreaker(**arguments)
    message = str(caught.value)
    assert argument in message
    return message


@pytest.mark.parametrize("argument", COUNTS)
@pytest.mark.parametrize("value", NO_COUNTS, ids=repr)
def test_count_that_is_no_whole_number_from_one_is_refused(argument: str, value: Any) -> None:
    """A threshold or limit below 1, beyond measure or of another type is refused by name and value."""
    message = refused(argument, **{argument: value})

    assert repr(value) in message
    assert "whole number" in message


@pytest.mark.parametrize("argument", ["failure_threshold", "success_threshold"])
def test_missing_count_is_refused(argument: str) -> None:
    """None is no threshold."""
    assert "None" in refused(argument, **{argument: None})


@pytest.mark.parametrize("argument", TIMES)
@pytest.mark.parametrize("value", NO_TIMES, ids=lambda value: repr(value)[:30])
def test_time_that_makes_no_sense_is_refused(argument: str, value: Any) -> None:
    """A time not above 0, not finite, beyond a year or of another type is refused by name and value."""
    message = refused(argument, **{argument: value})

    assert repr(value) in message
    assert "seconds" in message


@pytest.mark.parametrize("value", [0, 0.001, 3600, timedelta(hours=1)], ids=repr)
def test_staleness_up_to_an_hour_is_taken(value: Any) -> None:
    """None at all, and anything from a millisecond to an hour."""
    CircuitBreaker(max_staleness=value)


@pytest.mark.parametrize(
    "value", [3600.05, timedelta(hours=1, milliseconds=50), True, False, "1", None], ids=repr
)
def test_staleness_that_makes_no_sense_is_refused(value: Any) -> None:
    """Beyond an hour, or of another type: refused by name and value."""
    assert repr(value) in refused("max_staleness", max_staleness=value)


@pytest.mark.parametrize("argument", ["timeout", "probe_timeout", "lease_timeout", "redis_timeout"])
def test_missing_time_is_refused(argument: str) -> None:
    """None is no time where there must be one."""
    assert "None" in refused(argument, **{argument: None})


@pytest.mark.parametrize(
    ("argument", "value"),
    # No prefix at all means that of the environment, or the default.
    [("name", value) for value in NO_NAMES] + [("prefix", value) for value in NO_NAMES if value is not None],
    ids=lambda value: repr(value)[:20],
)
def test_name_outside_the_rule_is_refused(argument: str, value: Any) -> None:
    """A name with braces, spaces, quotes, controls or foreign letters, or too long, is refused."""
    message = refused(argument, **{argument: value})

    assert repr(value) in message
    assert "128" in message
    assert "_ - . : /" in message


@pytest.mark.parametrize("name", ["a", "A-1_b.c:d/e", "0", "x" * 128, "/", "..", "google_ai_vision"])
def test_name_within_the_rule_is_taken(redis: Redis, name: str) -> None:
    """Every name of letters, digits and _ - . : / up to 128 works as it stands."""
    succeed(new_breaker(redis, name=name))

    assert CircuitInRedis(redis, name).number("successful_calls") == 1


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "ValueError",
        (),
        [],
        [ValueError],
        (ValueError, "x"),
        (ValueError, BaseException),
        int,
        pytest.param(object(), id="object"),
        BaseException,
        KeyboardInterrupt,
        ValueError("instance"),
    ],
    ids=repr,
)
def test_expected_exception_that_cannot_tell_failures_is_refused(value: Any) -> None:
    """Anything but an Exception class, a tuple of them or a function is refused, BaseExceptions too."""
    assert repr(value) in refused("expected_exception", expected_exception=value)


def test_nested_tuple_of_classes_is_taken_as_python_does_or_refused(redis: Redis) -> None:
    """A nested tuple never leads to an error in the middle of a call."""
    try:
        breaker = new_breaker(redis, expected_exception=((ValueError,), TypeError))
    except SettingsError:
        return

    with pytest.raises(ValueError, match="x"):
        breaker.call(int, "x")


@pytest.mark.parametrize("lease", ["probe_timeout", "lease_timeout"])
def test_idle_ttl_shorter_than_a_lease_is_refused(lease: str) -> None:
    """A circuit may not be forgotten under its own calls."""
    message = refused("idle_ttl", **{"idle_ttl": 5, "probe_timeout": 1, "lease_timeout": 1, lease: 6})

    assert "5" in message


@pytest.mark.parametrize("value", [5, 6379, ["redis://localhost"], b"redis://localhost", True])
def test_redis_that_is_no_client_and_no_url_is_refused(value: Any) -> None:
    """redis= takes a client, a URL or None."""
    refused("redis", redis=value)


@pytest.mark.parametrize(
    "url", ["", " ", "localhost", "localhost:6379", "http://localhost", "redis", "redis:", "rediss+x://a"]
)
def test_url_of_another_kind_is_refused(url: str) -> None:
    """A URL must begin with redis://, rediss:// or unix://, and the refusal says so."""
    message = refused("redis", redis=url)

    assert "redis://" in message
    assert "unix://" in message


@pytest.mark.parametrize("url", ["redis://localhost", "rediss://localhost:6380/1", "unix:///tmp/r.sock"])
def test_url_of_a_known_kind_is_taken(url: str) -> None:
    """All three kinds of URL are taken, without a connection being made."""
    assert CircuitBreaker(redis=url).name == "circuit_breaker"


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [
        (0.25, {250}),
        (1.0005, {1000, 1001}),
        (0.001, {1}),
        (60, {60_000}),
        (1.1, {1100}),
        (4.35, {4350}),
        (2.675, {2675}),
        (31_536_000, {31_536_000_000}),
        (timedelta(milliseconds=250), {250}),
        (timedelta(minutes=5), {300_000}),
        (timedelta(days=1, microseconds=1), {86_400_000}),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("argument", "field"),
    [
        ("timeout", "open_timeout_ms"),
        ("probe_timeout", "probe_timeout_ms"),
        ("lease_timeout", "lease_timeout_ms"),
    ],
)
def test_times_are_kept_to_the_millisecond(
    redis: Redis, value: Any, milliseconds: set[int], argument: str, field: str
) -> None:
    """Numbers and timedeltas are in force to the millisecond."""
    succeed(new_breaker(redis, **{argument: value}))

    assert CircuitInRedis(redis).number(field) in milliseconds


def test_open_period_is_accurate_to_the_millisecond(redis: Redis) -> None:
    """A circuit with timeout 1.0005 opens for that long, to the millisecond."""
    breaker = new_breaker(redis, timeout=1.0005, failure_threshold=1)
    breaker.report(breaker.admit(), Outcome.FAILURE)
    circuit = CircuitInRedis(redis)

    assert circuit.number("open_until") - circuit.number("opened_at") in {1000, 1001}


def test_defaults_are_those_of_the_specification(redis: Redis) -> None:
    """Without arguments: 5 failures, 60 s, 2 successes, 2 probes, no idle_ttl, name circuit_breaker."""
    CircuitBreaker(redis=redis).call(int)

    fields = CircuitInRedis(redis, "circuit_breaker").fields()
    assert (
        fields.items()
        >= {
            "failure_threshold": "5",
            "success_threshold": "2",
            "half_open_max_calls": "2",
            "open_timeout_ms": "60000",
            "idle_ttl_ms": "0",
        }.items()
    )


def test_settings_of_nobody_are_those_of_a_breaker_by_default() -> None:
    """A circuit that is seen before anybody declared it shows what a breaker would declare."""
    assert CircuitBreaker().settings.fields() == Settings().fields()


def test_first_five_arguments_may_be_given_by_position(redis: Redis) -> None:
    """failure_threshold, timeout, success_threshold, expected_exception and name have their places."""
    CircuitBreaker(7, 30, 3, ValueError, "vision", redis=redis).call(int)

    fields = CircuitInRedis(redis, "vision").fields()
    assert (fields["failure_threshold"], fields["open_timeout_ms"]) == ("7", "30000")
    assert fields["success_threshold"] == "3"


def test_further_arguments_are_keyword_only(redis: Redis) -> None:
    """A sixth positional argument is a TypeError."""
    with pytest.raises(TypeError):
        CircuitBreaker(5, 60, 2, Exception, "x", redis)  # type: ignore[call-arg]


def test_settings_error_is_a_value_error_and_ours() -> None:
    """A SettingsError is caught as ValueError and as this package's error."""
    assert issubclass(SettingsError, ValueError)
    assert issubclass(SettingsError, SharedBreakerError)


@pytest.mark.parametrize("argument", ["failure_threshold", "timeout", "name"])
def test_refused_breaker_writes_nothing(redis: Redis, argument: str) -> None:
    """A construction that is refused leaves Redis empty."""
    with pytest.raises(SettingsError):
        new_breaker(redis, **{argument: -1})

    assert redis.dbsize() == 0
