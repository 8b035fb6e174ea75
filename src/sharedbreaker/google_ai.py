"""The three breakers of Google AI: text generation, vision and image generation (Imagen)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from redis import Redis

from sharedbreaker.breaker import CircuitBreaker
from sharedbreaker.circuit.errors import SettingsError, StoreError
from sharedbreaker.circuit.exposition import exposition_of_answers
from sharedbreaker.circuit.settings import seconds_in
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.google_errors import outcome_of, retry_after_of
from sharedbreaker.store.fleet import Fleet

T = TypeVar("T")

TEXT_GENERATION = "text_generation"
VISION = "vision"
IMAGEN = "imagen"

_breakers: dict[str, CircuitBreaker | None] = dict.fromkeys((TEXT_GENERATION, VISION, IMAGEN))

# What looks at all of them in one round trip; empty while breakers are not enabled.
_fleets: dict[str, Fleet] = {}

_MISSING = object()
RULES = (
    "failure_rate",
    "slow_call_rate",
    "timeout_growth",
    "ramp_up",
    "minimum_reporters",
    "max_in_flight",
    "mode",
)
DEFAULT_REDIS_TIMEOUT = 0.25
_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})
_REDIS_ARGUMENTS = ("host", "port", "db", "username", "password", "ssl", "unix_socket_path")


def initialize_circuit_breakers(config: object = None) -> None:
    """Build the three Google AI breakers. Does no I/O, and may be called again.

    ``config`` is any object or mapping, or None. What it does not have comes from the environment, else
    from the default:

    ==================================== =================================== =======
    in ``config``                        environment variable                default
    ==================================== =================================== =======
    ``circuit_breaker.enabled``          ``SHAREDBREAKER_ENABLED``           true
    ``circuit_breaker.failure_threshold`` ``SHAREDBREAKER_FAILURE_THRESHOLD`` 5
    ``circuit_breaker.timeout``          ``SHAREDBREAKER_TIMEOUT``           60 s
    ``circuit_breaker.success_threshold`` ``SHAREDBREAKER_SUCCESS_THRESHOLD`` 2
    ``circuit_breaker.max_staleness``    ``SHAREDBREAKER_MAX_STALENESS``     0 s
    ``circuit_breaker.push``             ``SHAREDBREAKER_PUSH``              false
    ``redis``                            ``SHAREDBREAKER_REDIS_URL``         see below
    ``redis.prefix``                     ``SHAREDBREAKER_PREFIX``            sharedbreaker
    ==================================== =================================== =======

    ``config.circuit_breaker`` may also have ``failure_rate``, ``slow_call_rate``, ``timeout_growth``,
    ``ramp_up``, ``minimum_reporters``, ``max_in_flight`` and ``mode`` as ``CircuitBreaker`` takes them, for
    all three.

    ``config.redis`` is a redis.Redis client, a URL, or something with ``url``, or with any of host, port,
    db, username, password, ssl and unix_socket_path; it may also have ``prefix``, what the
    keys begin with, and ``timeout``, seconds that a wait for Redis may last.

    Vision and Imagen open after two failures fewer than text generation, but not before three; Imagen stays
    open twice as long. With ``enabled`` false every getter returns None.

    Raises:
        SettingsError: a ValueError, for a setting that makes no sense.

    """
    section = _entry(config, "circuit_breaker", None)
    enabled = _setting(section, "enabled", "SHAREDBREAKER_ENABLED", _flag, default=True)
    if not isinstance(enabled, bool):
        raise SettingsError(f"circuit_breaker.enabled must be true or false, not {enabled!r}")
    if not enabled:
        _breakers.update(dict.fromkeys(_breakers))
        _fleets.clear()
        return
    threshold = _setting(section, "failure_threshold", "SHAREDBREAKER_FAILURE_THRESHOLD", int, default=5)
    timeout = _setting(section, "timeout", "SHAREDBREAKER_TIMEOUT", float, default=60.0)
    success_threshold = _setting(
        section, "success_threshold", "SHAREDBREAKER_SUCCESS_THRESHOLD", int, default=2
    )
    max_staleness = _setting(section, "max_staleness", "SHAREDBREAKER_MAX_STALENESS", float, default=0.0)
    rules = {
        rule: value
        for rule in RULES
        if (value := _entry(section, rule, _MISSING)) is not _MISSING and value is not None
    }
    push = _setting(section, "push", "SHAREDBREAKER_PUSH", _flag, default=False)
    redis_section = _entry(config, "redis", None)
    prefix = _entry(redis_section, "prefix", None)
    redis_timeout = _entry(redis_section, "timeout", DEFAULT_REDIS_TIMEOUT)

    redis = _redis(redis_section)

    def build(name: str, failure_threshold: Any, seconds: Any) -> CircuitBreaker:
        return CircuitBreaker(
            failure_threshold=failure_threshold,
            timeout=seconds,
            success_threshold=success_threshold,
            expected_exception=outcome_of,
            retry_after_of=retry_after_of,
            name=name,
            redis=redis,
            max_staleness=max_staleness,
            push=push,
            **rules,
            redis_timeout=redis_timeout,
            prefix=prefix,
        )

    # Built first: it refuses a threshold or a time with which the arithmetic below would make no sense.
    text_generation = build("google_ai_text_generation", threshold, timeout)
    image_threshold = max(3, threshold - 2)
    _breakers[VISION], _breakers[IMAGEN] = (
        build("google_ai_vision", image_threshold, timeout),
        build("google_ai_imagen", image_threshold, 2 * timeout),
    )
    _breakers[TEXT_GENERATION] = text_generation
    _fleets["google_ai"] = Fleet(redis, prefix=prefix, timeout=seconds_in("redis_timeout", redis_timeout))


def get_text_generation_breaker() -> CircuitBreaker | None:
    """Return the breaker of text generation; None where breakers are not enabled or not initialized."""
    return _breakers[TEXT_GENERATION]


def get_vision_api_breaker() -> CircuitBreaker | None:
    """Return the breaker of vision; None where breakers are not enabled or not initialized."""
    return _breakers[VISION]


def get_imagen_breaker() -> CircuitBreaker | None:
    """Return the breaker of image generation; None where breakers are not enabled or not initialized."""
    return _breakers[IMAGEN]


def get_google_ai_breaker() -> CircuitBreaker | None:
    """Return the text breaker under its legacy name."""
    return get_text_generation_breaker()


def get_all_breakers() -> dict[str, CircuitBreaker | None]:
    """Return the three as ``text_generation``, ``vision`` and ``imagen``; None for what is not enabled."""
    return dict(_breakers)


def get_all_metrics() -> dict[str, dict[str, Any]]:
    """Return ``get_metrics()`` of each breaker that is enabled, under the keys of ``get_all_breakers``."""
    enabled = {key: breaker for key, breaker in _breakers.items() if breaker is not None}
    seen = _look_at_once()
    return {
        key: (seen[breaker.name].metrics_dict() if breaker.name in seen else breaker.get_metrics())
        for key, breaker in enabled.items()
    }


def export_all_prometheus_metrics() -> str:
    """Return one valid text exposition of every breaker that is enabled.

    Those that Redis does not tell of are left out, and ``circuit_breaker_redis_up`` is 0 while it is away.
    """
    enabled = [breaker for breaker in _breakers.values() if breaker is not None]
    seen = _look_at_once()
    return exposition_of_answers(seen.get(breaker.name) or _answer_of(breaker) for breaker in enabled)


def _answer_of(breaker: CircuitBreaker) -> Snapshot | StoreError:
    try:
        return breaker.snapshot()
    except StoreError as error:
        return error


def _look_at_once() -> dict[str, Snapshot]:
    """Return the circuits by name, as one round trip found them; none of them where Redis is away."""
    enabled = [breaker for breaker in _breakers.values() if breaker is not None]
    fleet = _fleets.get("google_ai")
    if fleet is None or not all(breaker.redis_available for breaker in enabled):
        return {}
    view = fleet.look({breaker.name: breaker.settings for breaker in enabled}, discover=False)
    found = {snapshot.name: snapshot for snapshot in view.circuits} if view.is_up else {}
    return {
        breaker.name: breaker.completed(found[breaker.name]) for breaker in enabled if breaker.name in found
    }


def _entry(holder: object, name: str, default: Any) -> Any:
    if isinstance(holder, Mapping):
        return holder.get(name, default)
    return getattr(holder, name, default)


def _setting(section: object, name: str, variable: str, parse: Callable[[str], T], *, default: T) -> T:
    value = _entry(section, name, _MISSING)
    if value is not _MISSING and value is not None:
        return value  # type: ignore[no-any-return]  # checked where the breaker is built
    text = os.environ.get(variable, "").strip()
    if not text:
        return default
    try:
        return parse(text)
    except ValueError:
        raise SettingsError(f"{variable} must be a {parse.__name__.strip('_')}, not {text!r}") from None


def _flag(text: str) -> bool:
    if text.lower() in _YES | _NO:
        return text.lower() in _YES
    raise ValueError(text)


def _redis(section: Any) -> Redis | str | None:
    if section is None or isinstance(section, (Redis, str)):
        return section
    url = _entry(section, "url", None)
    if url:
        return url  # type: ignore[no-any-return]  # checked by connect
    arguments = {
        name: value for name in _REDIS_ARGUMENTS if (value := _entry(section, name, None)) is not None
    }
    return Redis(**arguments) if arguments else None
