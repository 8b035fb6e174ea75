"""The collector: all circuits of the fleet, read in one round trip when somebody scrapes, never before."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from sharedbreaker.circuit.families import FAMILIES, Family
from sharedbreaker.circuit.settings import Settings, seconds_in
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.google_ai import get_all_breakers
from sharedbreaker.integrations.prometheus.own_process import ObservedBreaker, OwnProcess
from sharedbreaker.store.fleet import Fleet, FleetView
from sharedbreaker.store.keys import prefix_or_default
from sharedbreaker.store.link import RedisLike
from sharedbreaker.store.quiet_log import QuietLog

_Source = tuple[RedisLike, str]

REDIS_UP = "circuit_breaker_redis_up"


class CircuitBreakerCollector(Collector):
    """Circuits as metric families. Making and registering one does no I/O, and a scrape never raises.

    Args:
        breakers: the breakers to show, from the first scrape on, also if nobody has called them yet. None
            shows the Google AI breakers of this process and every other circuit of the fleet, found by the
            list that is kept in Redis.
        redis: a client or URL, as ``CircuitBreaker`` takes it. None means where the breakers have theirs;
            without any, SHAREDBREAKER_REDIS_URL, else REDIS_URL, else localhost.
        prefix: what the keys in Redis begin with. None means the breakers' own.
        timeout: seconds that a scrape may wait for Redis, altogether. Default 0.5.
        call_durations: whether to time calls in this process, as a histogram. Default False.

    Raises:
        SettingsError: a ValueError, for a setting that makes no sense.

    """

    def __init__(
        self,
        breakers: Iterable[ObservedBreaker] | None = None,
        *,
        redis: RedisLike = None,
        prefix: str | None = None,
        timeout: float | timedelta = 0.5,
        call_durations: bool = False,
    ) -> None:
        self._breakers = None if breakers is None else tuple(breakers)
        self._redis = redis
        self._prefix = prefix
        self._timeout = seconds_in("timeout", timeout)
        self._own_process = OwnProcess(call_durations=call_durations)
        self._log = QuietLog()
        self._fleets: dict[tuple[_Source, ...], list[Fleet]] = {}
        # Refuses what makes no sense where it enters.
        self._fleets_at(list(self._sources(self._shown())))

    def describe(self) -> Iterator[Metric]:
        """Return all families without samples: what registering asks for, and no question to Redis."""
        yield from (_metric(family, ()) for family in FAMILIES)
        yield from self._own_process.families((), empty=True)
        yield from _about_redis(None, 0.0)

    def collect(self) -> Iterator[Metric]:
        """Return all families: the fleet's as Redis has them now, and this process' own.

        While Redis does not answer, the fleet's have no samples: neither old ones nor zeros.
        """
        breakers = self._shown()
        started = time.perf_counter()
        view = self._look(breakers)
        seconds = time.perf_counter() - started
        if view.troubles:
            self._own_process.scrape_failed()
        yield from (_metric(family, view.circuits) for family in FAMILIES)
        yield from self._own_process.families(breakers)
        yield from _about_redis(view, seconds)

    def _shown(self) -> list[ObservedBreaker]:
        if self._breakers is not None:
            return list(self._breakers)
        return [breaker for breaker in get_all_breakers().values() if breaker is not None]

    def _sources(self, breakers: Sequence[ObservedBreaker]) -> dict[_Source, dict[str, Settings]]:
        """Return each Redis and prefix that is to be read, with the circuits that are known to be there."""
        sources: dict[_Source, dict[str, Settings]] = {}
        for breaker in breakers:
            redis = breaker.redis if self._redis is None else self._redis
            prefix = breaker.prefix if self._prefix is None else self._prefix
            sources.setdefault((redis, prefix), {})[breaker.name] = breaker.settings
        if not sources and self._breakers is None:
            sources[self._redis, prefix_or_default(self._prefix)] = {}
        return sources

    def _fleets_at(self, sources: Sequence[_Source]) -> list[Fleet]:
        # The breakers may be initialized after the collector was made, and again.
        at = tuple(sources)
        fleets = self._fleets.get(at)
        if fleets is None:
            timeout = self._timeout / max(1, len(at))
            fleets = [Fleet(redis, prefix=prefix, timeout=timeout) for redis, prefix in at]
            self._fleets = {at: fleets}
        return fleets

    def _look(self, breakers: Sequence[ObservedBreaker]) -> FleetView:
        """Return what all sources show together. What goes wrong is in the view, and in the log."""
        circuits: dict[str, Snapshot] = {}
        troubles: dict[str, str] = {}
        is_up = True
        try:
            sources = self._sources(breakers)
            fleets = self._fleets_at(list(sources))
            for fleet, declared in zip(fleets, sources.values(), strict=True):
                view = fleet.look(declared, discover=self._breakers is None)
                circuits.update({circuit.name: circuit for circuit in view.circuits})
                troubles.update(view.troubles)
                is_up = is_up and view.is_up
                for what, why in sorted(view.troubles.items())[:1]:
                    self._log.warning(
                        fleet.address,
                        "metrics: Redis at %s could not be asked about %d circuits or keys; %r: %s",
                        fleet.address,
                        len(view.troubles),
                        what,
                        why,
                    )
        except Exception as error:  # whatever it is, the page's other metrics must not go with it
            self._log.warning("broken", "metrics: the circuits cannot be shown: %r", error)
            return FleetView((), is_up=False, troubles={"": repr(error)})
        return FleetView(tuple(circuits[name] for name in sorted(circuits)), is_up=is_up, troubles=troubles)


def _metric(family: Family, circuits: Iterable[Snapshot]) -> Metric:
    # prometheus-client gives a counter's samples their ending by itself, and its name none.
    metric = Metric(family.name.removesuffix("_total"), family.help, family.type)
    for circuit in circuits:
        for labels, value in family.samples(circuit):
            if value is not None:
                metric.add_sample(family.name, {"name": circuit.name, **labels}, value)
    return metric


def _about_redis(view: FleetView | None, seconds: float) -> Iterator[Metric]:
    up = Metric(REDIS_UP, "1 if Redis answered all of this scrape, 0 if not: as seen from here.", "gauge")
    unreadable = Metric(
        "circuit_breaker_unreadable_circuits",
        "Circuits, or the list of them, that this scrape could not read: their samples are absent.",
        "gauge",
    )
    duration = Metric(
        "circuit_breaker_scrape_duration_seconds", "How long this scrape waited for Redis.", "gauge"
    )
    if view is not None:
        up.add_sample(up.name, {}, int(view.is_up))
        unreadable.add_sample(unreadable.name, {}, len(view.troubles))
        duration.add_sample(duration.name, {}, seconds)
    yield from (up, unreadable, duration)
