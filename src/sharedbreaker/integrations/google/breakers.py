"""The breakers that a guard was given: for each service one for ordinary calls, one for async, or both."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from sharedbreaker.integrations.google.roles import Role
from sharedbreaker.open_calls import AsyncBreaker, SyncBreaker

Breakers: TypeAlias = SyncBreaker | AsyncBreaker | Sequence[SyncBreaker | AsyncBreaker] | None
"""For one service: a breaker of either kind, one of each, or None to leave the service unguarded."""


class _Pair(NamedTuple):
    sync: Any
    asynchronous: Any


@dataclass(frozen=True)
class RoleBreakers:
    """The breakers of the three services."""

    pairs: dict[Role, _Pair]

    @property
    def are_none(self) -> bool:
        """Whether there is nothing to guard with."""
        return all(pair == (None, None) for pair in self.pairs.values())

    def sync(self, role: Role) -> SyncBreaker | None:
        """Return the breaker of ordinary calls, None where the service is not guarded; or raise TypeError."""
        pair = self.pairs[role]
        if pair.sync is None and pair.asynchronous is not None:
            raise TypeError(
                f"this guard has only an AsyncCircuitBreaker for {role}, which ordinary calls cannot await; "
                f"give it one of each: guard(..., {role}=(breaker, async_breaker))"
            )
        return pair.sync  # type: ignore[no-any-return]

    def asynchronous(self, role: Role) -> AsyncBreaker | None:
        """Return the breaker of async calls, None where the service is not guarded; or raise TypeError."""
        pair = self.pairs[role]
        if pair.asynchronous is None and pair.sync is not None:
            raise TypeError(
                f"this guard has only a CircuitBreaker for {role}, which would block the event loop; "
                f"give it one of each, of the same name: guard(..., {role}=(breaker, async_breaker))"
            )
        return pair.asynchronous  # type: ignore[no-any-return]

    def check(self, *, asynchronous: bool) -> None:
        """Raise TypeError unless each service that is guarded has a breaker of this kind."""
        for role in Role:
            if asynchronous:
                self.asynchronous(role)
            else:
                self.sync(role)


def role_breakers(*, text: Breakers, vision: Breakers, imagen: Breakers) -> RoleBreakers:
    """Return the breakers sorted by kind; raise TypeError for what is no breaker."""
    given = {Role.TEXT: text, Role.VISION: vision, Role.IMAGEN: imagen}
    return RoleBreakers({role: _pair(role, breakers) for role, breakers in given.items()})


def _pair(role: Role, breakers: Breakers) -> _Pair:
    sync = asynchronous = None
    for breaker in breakers if isinstance(breakers, (tuple, list)) else (breakers,):
        if breaker is None:
            continue
        admit = getattr(type(breaker), "admit", None)
        if inspect.iscoroutinefunction(admit) and asynchronous is None:
            asynchronous = breaker
        elif callable(admit) and not inspect.iscoroutinefunction(admit) and sync is None:
            sync = breaker
        else:
            raise TypeError(
                f"{role} must be a CircuitBreaker, an AsyncCircuitBreaker, one of each, or None; "
                f"not {breakers!r}"
            )
    if sync is not None and asynchronous is not None and sync.name != asynchronous.name:
        raise TypeError(
            f"the breakers for {role} guard two circuits, {sync.name!r} and {asynchronous.name!r}; "
            "give both the same name"
        )
    return _Pair(sync, asynchronous)
