"""The circuits of the demo as anybody can see them in Redis: their hashes and their streams of events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from redis import Redis, RedisError

from sharedbreaker.breaker import CircuitBreaker
from sharedbreaker.circuit.errors import StoreError
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.demo.guarded_apis import GUARDED_APIS, GuardedApi
from sharedbreaker.demo.redis_client import READ_SECONDS, address_of, redis_at
from sharedbreaker.store.keys import Keys, keys_of

CLOCK_READINGS = 9


@dataclass(frozen=True)
class Event:
    """One entry of a circuit's stream of events."""

    at: float
    """Unix seconds by Redis' clock, exact to the millisecond."""
    before: str
    after: str
    why: str
    who: str
    details: dict[str, str] = field(default_factory=dict)

    @property
    def transition(self) -> str:
        """The name of the transition, such as ``closed_to_open``; empty where the state stayed."""
        return f"{self.before}_to_{self.after}" if self.before != self.after else ""


class Circuits:
    """The three circuits in the Redis at ``url``, under ``prefix``. Looking changes nothing.

    Each method may raise StoreError.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self.client: Redis = redis_at(url)
        self._keys: dict[str, Keys] = {api.key: keys_of(api.circuit, prefix) for api in GUARDED_APIS}
        self._breakers = {
            api.key: CircuitBreaker(name=api.circuit, redis=url, prefix=prefix, redis_timeout=READ_SECONDS)
            for api in GUARDED_APIS
        }

    def snapshot(self, api: GuardedApi) -> Snapshot:
        """Return the circuit of ``api`` at one instant."""
        return self._breakers[api.key].snapshot()

    def events(self, api: GuardedApi) -> list[Event]:
        """Return the events of the circuit of ``api``, oldest first."""
        with self._asking(f"the events of {api.circuit!r}"):
            entries: Any = self.client.xrange(self._keys[api.key].events)
        return [_event(entry_id, fields) for entry_id, fields in entries]

    def clock_ahead(self) -> float:
        """Return by how many seconds Redis' clock is ahead of this machine's: about 0 on the same one."""
        readings: list[tuple[float, float]] = []
        with self._asking("the time"):
            for _ in range(CLOCK_READINGS):
                asked_at = time.time()
                seconds, microseconds = self.client.time()
                answered_at = time.time()
                middle = (asked_at + answered_at) / 2
                readings.append((answered_at - asked_at, seconds + microseconds / 1_000_000 - middle))
        # The quickest answer leaves the least doubt about when it was given.
        return min(readings)[1]

    @property
    def keys(self) -> list[str]:
        """Every key that the three circuits may have, their registry included."""
        keys = [key for circuit in self._keys.values() for key in circuit.of_script]
        return [*keys, *{circuit.registry for circuit in self._keys.values()}]

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except RedisError as error:
            raise StoreError(
                f"Redis at {address_of(self.client)} could not be asked for {what}: "
                f"{type(error).__name__}: {error}"
            ) from error


def _event(entry_id: str, fields: dict[str, str]) -> Event:
    details = dict(fields)
    before, after, why, who = (details.pop(name, "") for name in ("from", "to", "why", "who"))
    return Event(int(entry_id.partition("-")[0]) / 1000, before, after, why, who, details)
