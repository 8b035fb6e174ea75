"""The injector: does what the plan says when the plan says it, and undoes it when its time is over.

One thread does all of it, so that nothing that ends an era of Redis' data comes between two halves of
something else; in between it reads what is new in Redis.
"""

from __future__ import annotations

import heapq
import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from era_keeper import EraKeeper
from fault_plan import LANES, NETWORK_KINDS, QUIET_AT_END, Fault
from fault_terms import CIRCUITS, breaker_settings
from fleet import Commands, Fleet
from redis import Redis

from sharedbreaker import CircuitBreaker
from sharedbreaker.circuit.errors import StoreError

POLL_SECONDS = 0.1
RETRY_SECONDS = 0.2


class Servers(Protocol):
    """What a topology offers to the injector."""

    is_answering: bool
    """Whether it makes sense to look into Redis now."""

    def begin(self, fault: Fault, keeper: EraKeeper) -> None:
        """Begin a fault of Redis itself."""

    def end(self, fault: Fault, keeper: EraKeeper) -> None:
        """End it."""

    def refresh(self, keeper: EraKeeper) -> None:
        """Lead the keeper to where the data are now."""

    def settle(self, keeper: EraKeeper) -> None:
        """Wait until no fault is under way any more."""


@dataclass
class Act:
    """One manual act: what was asked, for which circuit, its reason, and whether Redis acknowledged it."""

    circuit: str
    kind: str
    reason: str
    done: bool
    at: float = 0.0


@dataclass
class Injected:
    """What was done, for the comparison of books."""

    acts: list[Act] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    ended_at: float = 0.0


class Injector:
    """All faults of one run."""

    def __init__(
        self,
        keeper: EraKeeper,
        servers: Servers,
        fleet: Fleet,
        upstream: Commands,
        network: Commands | None,
        redis: Redis | str,
    ) -> None:
        self.injected = Injected()
        self._keeper = keeper
        self._servers = servers
        self._fleet = fleet
        self._upstream = upstream
        self._network = network
        self._began = 0.0
        self._todo: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._hands = [CircuitBreaker(redis=redis, **breaker_settings(terms)) for terms in CIRCUITS]

    def run(self, plan: list[Fault], seconds: float, *, verbose: bool = False) -> None:
        """Inject for so many seconds; return when all faults are over."""
        began = self._began = time.monotonic()
        for fault in plan:
            self._at(fault.at, lambda fault=fault: self._begin(fault, verbose=verbose))  # type: ignore[misc]
        self._at(seconds - QUIET_AT_END, lambda: self._upstream.send("!fail"))
        while (elapsed := time.monotonic() - began) < seconds:
            if self._todo and self._todo[0][0] <= elapsed:
                heapq.heappop(self._todo)[2]()
                continue
            if self._servers.is_answering:
                self._servers.refresh(self._keeper)
                self._keeper.poll()
            due = self._todo[0][0] if self._todo else seconds
            time.sleep(max(0.0, min(POLL_SECONDS, due - (time.monotonic() - began))))
        while self._todo:
            heapq.heappop(self._todo)[2]()
        self._fleet.thaw_all()
        self._servers.settle(self._keeper)
        for number in range(len(CIRCUITS)):
            self._act(number, "enable")
        self._upstream.send("!heal")
        self.injected.ended_at = time.time()

    def _at(self, moment: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._todo, (moment, next(self._numbers), do))

    def _begin(self, fault: Fault, *, verbose: bool) -> None:
        if verbose:
            print(fault, file=sys.stderr)
        counts = self.injected.counts
        counts[fault.kind] = counts.get(fault.kind, 0) + 1
        if fault.kind in NETWORK_KINDS:
            self._set_lanes(fault.target, f"{fault.kind} {fault.value}")
            self._at(fault.at + fault.seconds, lambda: self._set_lanes(fault.target, "pass 0"))
        elif fault.kind in {"kill_worker", "stop_worker", "clock_jump", "fork"}:
            self._hurt_worker(fault)
        elif fault.kind in {"force_open", "force_open_for_seconds", "force_close", "disable", "enable"}:
            self._act(fault.target, fault.kind, fault.seconds)
            undo = {"force_open": "force_close", "disable": "enable"}.get(fault.kind)
            if undo is not None:
                self._at(fault.at + fault.seconds, lambda: self._act_until_done(fault.target, undo))
        else:
            self._servers.begin(fault, self._keeper)
            if fault.seconds:
                self._at(fault.at + fault.seconds, lambda: self._servers.end(fault, self._keeper))

    def _hurt_worker(self, fault: Fault) -> None:
        if fault.kind == "kill_worker":
            self._fleet.kill(fault.target)
        elif fault.kind == "clock_jump":
            self._fleet.jump(fault.target)
        elif fault.kind == "fork":
            self._fleet.fork(fault.target)
        else:
            self._fleet.freeze(fault.target)
            self._at(fault.at + fault.seconds, lambda: self._fleet.thaw(fault.target))

    def _set_lanes(self, target: int, what: str) -> None:
        assert self._network is not None
        for lane in range(LANES) if target == LANES else (target,):
            self._network.send(f"{lane} {what}")

    def _act(self, circuit: int, kind: str, seconds: float = 0.0) -> bool:
        """Do something by hand, as an operator with the right settings would."""
        hand = self._hands[circuit]
        act = Act(hand.name, kind.removesuffix("_for_seconds"), f"act {len(self.injected.acts)}", done=True)
        act.at = time.time()
        self.injected.acts.append(act)
        try:
            if kind == "force_open_for_seconds":
                hand.force_open(act.reason, seconds)
            else:
                getattr(hand, kind)(act.reason)
        except StoreError:
            act.done = False
        return act.done

    def _act_until_done(self, circuit: int, kind: str) -> None:
        if not self._act(circuit, kind):
            time.sleep(0.01)
            again = time.monotonic() - self._began + RETRY_SECONDS
            self._at(again, lambda: self._act_until_done(circuit, kind))
