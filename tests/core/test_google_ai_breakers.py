"""The three Google AI breakers: their getters, and that they share their circuits and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google_ai_circuits import NAMES, all_three, no_configuration
from redis import Redis

import sharedbreaker
from sharedbreaker import CircuitBreakerError, google_ai

pytestmark = pytest.mark.sync_only("the three breakers are made by the product itself")


class GoogleAPICallError(Exception):
    __module__ = "google.api_core.exceptions"


class ServiceUnavailable(GoogleAPICallError):  # noqa: N818 - named as Google's SDK names it
    code = 503


class InvalidArgument(GoogleAPICallError):  # noqa: N818 - named as Google's SDK names it
    code = 400


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with no_configuration(monkeypatch):
        yield


def test_nothing_is_there_before_initialization() -> None:
    """Before initialize_circuit_breakers every getter returns None."""
    google_ai._breakers.update(dict.fromkeys(google_ai._breakers))

    assert sharedbreaker.get_text_generation_breaker() is None
    assert sharedbreaker.get_all_breakers() == {"text_generation": None, "vision": None, "imagen": None}
    assert sharedbreaker.get_all_metrics() == {}


def test_getters_return_the_three(redis: Redis) -> None:
    """Each getter returns its own breaker under its fixed name; the legacy getter returns text's."""
    sharedbreaker.initialize_circuit_breakers({"redis": redis})

    breakers = all_three()
    assert {key: breaker.name for key, breaker in breakers.items()} == NAMES
    assert sharedbreaker.get_text_generation_breaker() is breakers["text_generation"]
    assert sharedbreaker.get_vision_api_breaker() is breakers["vision"]
    assert sharedbreaker.get_imagen_breaker() is breakers["imagen"]
    assert sharedbreaker.get_google_ai_breaker() is breakers["text_generation"]


def test_initializing_does_no_io() -> None:
    """Initializing with a Redis that is not there raises nothing."""
    sharedbreaker.initialize_circuit_breakers({"redis": "redis://127.0.0.1:1/0"})

    assert len(all_three()) == 3


def test_initializing_again_leaves_the_shared_state_as_it_is(redis: Redis) -> None:
    """A second initialization, as every worker does one, changes not one byte of what is shared."""
    config = {"redis": redis}
    sharedbreaker.initialize_circuit_breakers(config)
    vision = all_three()["vision"]
    vision.force_open("maintenance")
    before = {key: redis.dump(key) for key in redis.scan_iter()}

    sharedbreaker.initialize_circuit_breakers(config)

    assert {key: redis.dump(key) for key in redis.scan_iter()} == before
    with pytest.raises(CircuitBreakerError):
        all_three()["vision"].call(int)


def test_old_breaker_and_new_one_share_the_circuit(redis: Redis) -> None:
    """Whoever kept the breaker from before a second initialization still speaks of the same circuit."""
    sharedbreaker.initialize_circuit_breakers({"redis": redis})
    old = all_three()["imagen"]
    sharedbreaker.initialize_circuit_breakers({"redis": redis})

    old.force_open()

    with pytest.raises(CircuitBreakerError):
        all_three()["imagen"].call(int)


def test_failures_of_one_service_never_block_another(redis: Redis) -> None:
    """When vision opens, text and Imagen stay closed and run."""
    sharedbreaker.initialize_circuit_breakers({"redis": redis})
    breakers = all_three()

    def unavailable() -> None:
        raise ServiceUnavailable

    for _ in range(3):
        with pytest.raises(ServiceUnavailable):
            breakers["vision"].call(unavailable)

    states = {key: metrics["state"] for key, metrics in sharedbreaker.get_all_metrics().items()}
    assert states == {"text_generation": "closed", "vision": "open", "imagen": "closed"}
    assert breakers["text_generation"].call(int) == 0


def test_callers_errors_do_not_open_them(redis: Redis) -> None:
    """Bad requests are ignored by all three, however many there are."""
    sharedbreaker.initialize_circuit_breakers({"redis": redis})

    def bad() -> None:
        raise InvalidArgument

    for breaker in all_three().values():
        for _ in range(6):
            with pytest.raises(InvalidArgument):
                breaker.call(bad)

    metrics = sharedbreaker.get_all_metrics()
    assert {key: (of["state"], of["ignored_calls"]) for key, of in metrics.items()} == dict.fromkeys(
        NAMES, ("closed", 6)
    )
