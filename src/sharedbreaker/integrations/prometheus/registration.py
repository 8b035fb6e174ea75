"""Registering the collector: once in each registry, however often an app is made."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry

from sharedbreaker.integrations.prometheus.collector import CircuitBreakerCollector
from sharedbreaker.integrations.prometheus.own_process import ObservedBreaker
from sharedbreaker.store.link import RedisLike

_lock = threading.Lock()
_registered: WeakKeyDictionary[CollectorRegistry, CircuitBreakerCollector] = WeakKeyDictionary()


def register_circuit_breakers(
    breakers: Iterable[ObservedBreaker] | None = None,
    *,
    registry: CollectorRegistry = REGISTRY,
    redis: RedisLike = None,
    prefix: str | None = None,
    timeout: float | timedelta = 0.5,
    call_durations: bool = False,
) -> CircuitBreakerCollector:
    """Register a ``CircuitBreakerCollector``, which takes these arguments, in ``registry``. Does no I/O.

    A second registration in one registry takes the place of the first, so that an app may be made again.
    """
    collector = CircuitBreakerCollector(
        breakers, redis=redis, prefix=prefix, timeout=timeout, call_durations=call_durations
    )
    with _lock:
        _unregister(registry)
        registry.register(collector)
        _registered[registry] = collector
    return collector


def unregister_circuit_breakers(*, registry: CollectorRegistry = REGISTRY) -> None:
    """Take the collector out of ``registry``; change nothing where there is none."""
    with _lock:
        _unregister(registry)


def registered_in(registry: CollectorRegistry) -> CircuitBreakerCollector | None:
    """Return the collector that was registered in ``registry``; None where there is none."""
    return _registered.get(registry)


def _unregister(registry: CollectorRegistry) -> None:
    collector = _registered.pop(registry, None)
    if collector is not None:
        # Somebody may have taken it out by the registry's own means.
        with suppress(KeyError):
            registry.unregister(collector)
