"""What a breaker tells of itself without any I/O, to whoever watches this process."""

from __future__ import annotations

from collections.abc import Callable

from sharedbreaker.circuit.handle import Handle
from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.store.link import RedisLike
from sharedbreaker.store.switch_over import SwitchOverStore


class DescribedBreaker(Handle):
    """The part of a breaker that only describes it."""

    _store: SwitchOverStore
    _settings: Settings
    _prefix: str
    _given_redis: Callable[[], RedisLike]

    def _describe(self, settings: Settings, redis: RedisLike, prefix: str) -> None:
        self._settings = settings
        # A URL may have a password in it, which nobody must meet who only looks at this object.
        self._given_redis = lambda: redis
        self._prefix = prefix

    @property
    def settings(self) -> Settings:
        """What this breaker declares. What is in force for the fleet is in ``get_metrics()``."""
        return self._settings

    @property
    def redis(self) -> RedisLike:
        """What was handed in to find Redis by."""
        return self._given_redis()

    @property
    def prefix(self) -> str:
        """What the keys in Redis begin with."""
        return self._prefix

    @property
    def redis_available(self) -> bool:
        """Whether this process had Redis at its last call or look. Does no I/O."""
        return not self._store.here()[0]

    @property
    def unwritten_calls(self) -> int:
        """Calls of this process that Redis has not been told of yet. Does no I/O."""
        return self._store.here()[1]

    def completed(self, snapshot: Snapshot) -> Snapshot:
        """Return what somebody else read of this circuit, with what this process knows besides.

        Redis may answer whoever looks, and take no calls: ``redis_available`` is about this process' calls.
        """
        return self._store.complete(snapshot)

    def snapshot_alone(self) -> Snapshot:
        """Return the circuit as this process alone would decide on it. Does no I/O."""
        return self._store.snapshot_alone()
