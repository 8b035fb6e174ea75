"""Circuits that live in one process, for tests that need no Redis."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from redis import Redis

from sharedbreaker.base_breaker import BaseBreaker
from sharedbreaker.store.keys import Keys, keys_of
from sharedbreaker.store.link import Link, link_to
from sharedbreaker.store.switch_over import SwitchOverStore
from sharedbreaker.testing.rules_store import Place, RulesStore

if TYPE_CHECKING:
    from typing_extensions import Self

B = TypeVar("B", bound=BaseBreaker)

NOWHERE = "in-process.invalid"


class InProcessCircuits:
    """What Redis is to breakers, without a server: breakers that it has taken share their circuits here.

        with InProcessCircuits() as circuits:
            breaker = circuits.take(CircuitBreaker(name="orders", failure_threshold=2))

    The rules are those that a process goes by while Redis is away; tests hold them equal to the scripts in
    Redis. Breakers of the same name and prefix share one circuit, whether they are for threads or for event
    loops; other processes do not. A circuit's clock stands still until ``elapse`` puts it forward. At the end
    of the block, or with ``release``, each breaker is back where it was.
    """

    def __init__(self) -> None:
        self._places: dict[Keys, Place] = {}
        self._taken: list[Callable[[], None]] = []
        # Its guard is nobody else's: that a Redis is away is no news here.
        self._redis = Redis(host=NOWHERE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def take(self, breaker: B) -> B:
        """Have ``breaker`` find its circuit here from now on, and return it. No call of it reaches Redis.

        Take it while no call is under way. Decorated functions and guarded clients go where it goes.
        """
        before = breaker._store  # noqa: SLF001 - one of us, here and below
        # Nobody else can hear what would be published.
        settings = dataclasses.replace(breaker.settings, push=False)
        keys = keys_of(breaker.name, breaker.prefix)
        place = self._places.setdefault(keys, Place(breaker.name))
        link = link_to(self._redis, timeout=1, retry_interval=1)
        assert isinstance(link, Link)  # noqa: S101 - what a client that is none of a cluster gets
        after = SwitchOverStore(
            breaker.name,
            settings,
            RulesStore(link, keys, settings, place),
            link,
            max_staleness=before._max_staleness,  # noqa: SLF001
            on_redis_error=before._on_redis_error,  # noqa: SLF001
            on_redis_change=before._on_redis_change,  # noqa: SLF001
        )
        after.announcer = before.announcer

        def give_back() -> None:
            # What it held back is for its circuit here, and a thread may be about to tell it.
            after.settle_at_exit()
            breaker._store = before  # noqa: SLF001

        breaker._store = after  # noqa: SLF001
        self._taken.append(give_back)
        return breaker

    def release(self) -> None:
        """Let all breakers go, and forget the circuits. May be called again."""
        while self._taken:
            self._taken.pop()()
        self._places.clear()
