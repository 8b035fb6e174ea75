"""Which circuits a site answers for, and what they look like now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sharedbreaker.async_breaker import AsyncCircuitBreaker
from sharedbreaker.breaker import CircuitBreaker
from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.google_ai import get_all_breakers
from sharedbreaker.store.fleet import Fleet, FleetView
from sharedbreaker.store.keys import prefix_or_default
from sharedbreaker.store.link import RedisLike

Breaker = CircuitBreaker | AsyncCircuitBreaker
Breakers = Mapping[str, Breaker] | Iterable[Breaker] | None
_Place = tuple[RedisLike, str]


@dataclass(frozen=True)
class Seen:
    """The circuits that a site answers for, by the key under which its documents show them."""

    circuits: Mapping[str, Snapshot]
    is_complete: bool
    """False where Redis did not tell of circuits that this process cannot know by itself."""
    told: frozenset[str]
    """The keys of those that Redis told of."""


class Circuits:
    """The breakers of this process, or every circuit of the fleet; and always the fleet, for the page.

    Args:
        breakers: as ``BreakerSite`` takes them.
        redis: where the fleet is; None means where the breakers have theirs.
        prefix: the same for what the keys begin with.
        timeout: seconds that a look may take altogether.
        whole_fleet: whether the site answers for every circuit of the fleet.

    """

    def __init__(
        self, breakers: Breakers, redis: RedisLike, prefix: str | None, timeout: float, *, whole_fleet: bool
    ) -> None:
        self._given = _by_key(breakers)
        self._redis = redis
        self._prefix = prefix
        self._timeout = timeout
        self._whole_fleet = whole_fleet
        self._fleets: dict[_Place, Fleet] = {}
        self.fleet()

    def place(self) -> _Place:
        """Return the Redis and the prefix of the fleet."""
        first = next(iter(self._own().values()), None)
        redis = first.redis if self._redis is None and first is not None else self._redis
        prefix = first.prefix if self._prefix is None and first is not None else self._prefix
        return redis, prefix_or_default(prefix)

    def fleet(self) -> Fleet:
        """Return the fleet."""
        return self._fleet_at(self.place(), self._timeout)

    def answered_for(self) -> Seen:
        """Return the circuits that the site answers for: its own process' view where Redis does not tell."""
        if self._whole_fleet:
            view = self.fleet().look()
            there = {circuit.name: circuit for circuit in view.circuits}
            return Seen(there, view.is_up, frozenset(there))
        own = self._own()
        declared: dict[_Place, dict[str, Settings]] = {}
        for breaker in own.values():
            place = (breaker.redis, breaker.prefix)
            declared.setdefault(place, {})[breaker.name] = breaker.settings
        found: dict[tuple[_Place, str], Snapshot] = {}
        for place, settings in declared.items():
            view = self._fleet_at(place, self._timeout / len(declared)).look(settings, discover=False)
            found.update({(place, circuit.name): circuit for circuit in view.circuits})
        told = {
            key: breaker.completed(found[(breaker.redis, breaker.prefix), breaker.name])
            for key, breaker in own.items()
            if ((breaker.redis, breaker.prefix), breaker.name) in found
        }
        seen = {key: told.get(key) or breaker.snapshot_alone() for key, breaker in own.items()}
        return Seen(seen, is_complete=True, told=frozenset(told))

    def everything(self) -> FleetView:
        """Return every circuit of the fleet, those of this process also before their first call."""
        redis, prefix = self.place()
        mine = {
            breaker.name: breaker
            for breaker in self._own().values()
            if (breaker.redis, breaker.prefix) == (redis, prefix)
        }
        view = self.fleet().look({name: breaker.settings for name, breaker in mine.items()})
        circuits = (
            mine[circuit.name].completed(circuit) if circuit.name in mine else circuit
            for circuit in view.circuits
        )
        return replace(view, circuits=tuple(circuits))

    def _own(self) -> Mapping[str, Breaker]:
        if self._whole_fleet:
            return {}
        if self._given is not None:
            return self._given
        # They may be initialized after the site was made, and again.
        return {key: breaker for key, breaker in get_all_breakers().items() if breaker is not None}

    def _fleet_at(self, place: _Place, timeout: float) -> Fleet:
        fleet = self._fleets.get(place)
        if fleet is None:
            redis, prefix = place
            fleet = self._fleets[place] = Fleet(redis, prefix=prefix, timeout=timeout)
        return fleet


def _by_key(breakers: Breakers) -> Mapping[str, Breaker] | None:
    if breakers is None or isinstance(breakers, Mapping):
        return breakers
    return {breaker.name: breaker for breaker in breakers}
