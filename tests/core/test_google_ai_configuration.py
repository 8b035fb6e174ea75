"""The three Google AI breakers are built from whatever configuration there is, or none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google_ai_circuits import all_three, as_object, declared, no_configuration
from redis import Redis

import sharedbreaker
from sharedbreaker import FailureRate, SettingsError
from sharedbreaker.demo.redis_server import RedisServer

pytestmark = pytest.mark.sync_only("the three breakers are made by the product itself")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with no_configuration(monkeypatch):
        yield


@pytest.mark.parametrize(
    ("threshold", "seconds", "image_threshold", "image_ms", "imagen_ms"),
    [
        (5, 60, 3, 60_000, 120_000),
        (1, 60, 3, 60_000, 120_000),
        (4, 1, 3, 1_000, 2_000),
        (6, 30, 4, 30_000, 60_000),
        (10, 0.5, 8, 500, 1_000),
    ],
)
def test_thresholds_and_timeouts_follow_the_table(
    redis: Redis, threshold: int, seconds: float, image_threshold: int, image_ms: int, imagen_ms: int
) -> None:
    """Vision and Imagen take max(3, t-2) failures, and Imagen stays open for 2s."""
    sharedbreaker.initialize_circuit_breakers(
        {
            "circuit_breaker": {"failure_threshold": threshold, "timeout": seconds, "success_threshold": 3},
            "redis": redis,
        }
    )

    assert declared(redis) == {
        "text_generation": (str(threshold), str(round(seconds * 1000)), "3"),
        "vision": (str(image_threshold), str(image_ms), "3"),
        "imagen": (str(image_threshold), str(imagen_ms), "3"),
    }


DEFAULTS = {
    "text_generation": ("5", "60000", "2"),
    "vision": ("3", "60000", "2"),
    "imagen": ("3", "120000", "2"),
}
OTHERS = {
    "text_generation": ("7", "10000", "4"),
    "vision": ("5", "10000", "4"),
    "imagen": ("5", "20000", "4"),
}
CONFIGURED = {
    "circuit_breaker": {"enabled": True, "failure_threshold": 7, "timeout": 10, "success_threshold": 4}
}


@pytest.mark.parametrize("shape", [dict, as_object], ids=["mapping", "object"])
def test_config_may_be_a_mapping_or_an_object(redis: Redis, redis_server: RedisServer, shape: Any) -> None:
    """Attributes and keys are read alike, for both sections."""
    config = {**CONFIGURED, "redis": {"host": "127.0.0.1", "port": redis_server.port, "db": 0}}

    sharedbreaker.initialize_circuit_breakers(shape(config))

    assert declared(redis) == OTHERS


def test_config_may_be_nothing(
    redis: Redis, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a configuration the defaults are in force, on the Redis of the environment."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)

    sharedbreaker.initialize_circuit_breakers()

    assert declared(redis) == DEFAULTS


def test_environment_fills_what_is_missing(
    redis: Redis, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables are in force where the configuration says nothing, spaces around them do not matter."""
    monkeypatch.setenv("SHAREDBREAKER_REDIS_URL", redis_server.url)
    monkeypatch.setenv("SHAREDBREAKER_FAILURE_THRESHOLD", " 7 ")
    monkeypatch.setenv("SHAREDBREAKER_TIMEOUT", "10")
    monkeypatch.setenv("SHAREDBREAKER_SUCCESS_THRESHOLD", "9")

    sharedbreaker.initialize_circuit_breakers({"circuit_breaker": {"success_threshold": 4}})

    assert declared(redis) == OTHERS


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SHAREDBREAKER_FAILURE_THRESHOLD", "five"),
        ("SHAREDBREAKER_FAILURE_THRESHOLD", "2.5"),
        ("SHAREDBREAKER_TIMEOUT", "a minute"),
        ("SHAREDBREAKER_SUCCESS_THRESHOLD", "1e1"),
        ("SHAREDBREAKER_ENABLED", "maybe"),
    ],
)
def test_variable_that_makes_no_sense_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """A variable that cannot be read is a SettingsError that names it and its value."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError, match=variable) as caught:
        sharedbreaker.initialize_circuit_breakers()

    assert value in str(caught.value)


@pytest.mark.parametrize(
    "section",
    [
        {"failure_threshold": 0},
        {"failure_threshold": "5"},
        {"timeout": -1},
        {"timeout": "60"},
        {"success_threshold": 0},
        {"success_threshold": 2.5},
        {"enabled": "yes"},
    ],
    ids=str,
)
def test_configuration_that_makes_no_sense_is_refused(redis: Redis, section: dict[str, Any]) -> None:
    """A nonsense value is a SettingsError that names it, and the breakers that were there stay."""
    sharedbreaker.initialize_circuit_breakers({"redis": redis})
    before = all_three()

    with pytest.raises(SettingsError, match=next(iter(section))):
        sharedbreaker.initialize_circuit_breakers({"circuit_breaker": section, "redis": redis})

    assert all_three() == before


@pytest.mark.parametrize(
    "config",
    [{"circuit_breaker": {"enabled": False}}, as_object({"circuit_breaker": {"enabled": False}})],
    ids=["mapping", "object"],
)
def test_not_enabled_means_none(redis: Redis, config: Any) -> None:
    """With enabled False every getter returns None, also after they were enabled."""
    sharedbreaker.initialize_circuit_breakers({"redis": redis})

    sharedbreaker.initialize_circuit_breakers(config)

    assert sharedbreaker.get_text_generation_breaker() is None
    assert sharedbreaker.get_vision_api_breaker() is None
    assert sharedbreaker.get_imagen_breaker() is None
    assert sharedbreaker.get_google_ai_breaker() is None
    assert sharedbreaker.get_all_breakers() == {"text_generation": None, "vision": None, "imagen": None}
    assert sharedbreaker.get_all_metrics() == {}


@pytest.mark.parametrize("value", ["0", "false", "No", "OFF"])
def test_environment_may_switch_them_off(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """SHAREDBREAKER_ENABLED in any spelling of no gives None."""
    monkeypatch.setenv("SHAREDBREAKER_ENABLED", value)

    sharedbreaker.initialize_circuit_breakers()

    assert sharedbreaker.get_vision_api_breaker() is None


@pytest.mark.parametrize("section", ["url", "host and port", "URL itself", "client"])
def test_redis_section_takes_many_forms(redis: Redis, redis_server: RedisServer, section: str) -> None:
    """config.redis may be a client, a URL, or a section with url or with host and port."""
    forms: dict[str, Any] = {
        "url": {"url": redis_server.url},
        "host and port": as_object({"host": "127.0.0.1", "port": redis_server.port, "password": None}),
        "URL itself": redis_server.url,
        "client": redis,
    }

    sharedbreaker.initialize_circuit_breakers({"redis": forms[section]})

    assert declared(redis) == DEFAULTS


def test_prefix_of_the_redis_section_names_the_keys(redis: Redis, redis_server: RedisServer) -> None:
    """config.redis.prefix is what all keys begin with."""
    sharedbreaker.initialize_circuit_breakers({"redis": {"url": redis_server.url, "prefix": "shop"}})

    all_three()["vision"].call(int)

    assert redis.exists("shop:{google_ai_vision}") == 1


@pytest.mark.parametrize("shape", [dict, as_object], ids=["mapping", "object"])
def test_rules_besides_the_default_one_are_for_all_three(redis: Redis, shape: Any) -> None:
    """Rates, back-off, staleness, push and the mode are taken as a breaker takes them."""
    rules = {
        "failure_rate": FailureRate(0.3, window=30, minimum_calls=10),
        "timeout_growth": 2,
        "ramp_up": 30,
        "minimum_reporters": 2,
        "max_in_flight": 100,
        "mode": "observe",
        "max_staleness": 0.5,
        "push": True,
    }
    sharedbreaker.initialize_circuit_breakers(shape({"circuit_breaker": rules, "redis": redis}))

    for breaker in sharedbreaker.get_all_breakers().values():
        assert breaker is not None
        breaker.call(int)
        settings = breaker.snapshot().fields
        assert settings["failure_rate_percent"] == "30"
        assert settings["timeout_growth_percent"] == "200"
        assert settings["ramp_up_ms"] == "30000"
        assert settings["minimum_reporters"] == "2"
        assert settings["max_in_flight"] == "100"
        assert settings["observe"] == settings["push"] == "1"
        assert breaker._store._max_staleness == 0.5
