"""One fault run: start all, inject, let all recover, end all, and compare books."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from books_reader import read_books
from era_keeper import EraKeeper
from fault_books import Books
from fault_injector import Injected, Injector
from fault_plan import LANES, make_plan
from fault_terms import LEASE_TIMEOUT, NAMES, RECOVERY_BOUND, WAIT_SLACK
from fault_verdicts import Verdict
from fleet import Commands, Fleet, start_server
from invariants_calls import no_call_fails_because_of_the_breaker, no_wait_is_long
from invariants_probes import no_probe_too_many, recovers_in_time
from invariants_staleness import views_are_not_too_old
from invariants_tallies import tallies_are_equal
from invariants_transitions import transitions_are_allowed
from redis import Redis
from sentinel_servers import MASTER, SentinelServers
from standalone_servers import StandaloneServers

from sharedbreaker.demo.redis_server import free_port

INVARIANTS = (
    no_call_fails_because_of_the_breaker,
    no_probe_too_many,
    tallies_are_equal,
    transitions_are_allowed,
    recovers_in_time,
    views_are_not_too_old,
)
TOPOLOGIES = ("both", "standalone", "sentinel")
SHARE_OF_SENTINEL = 0.25
SHORTEST_SENTINEL = 15.0
RECOVERY_GIVEN_UP = 4 * RECOVERY_BOUND
OVERRUN = 0.5


@dataclass(frozen=True)
class Order:
    """What run is wanted."""

    seconds: float
    seed: int
    workers: int = 8
    topology: str = "standalone"
    staleness: float = 0.0
    scheduling: float = WAIT_SLACK
    """Seconds that the machine may add to a wait for Redis."""


def orders_of(seconds: float, seed: int, workers: int, topology: str, staleness: float = 0.0) -> list[Order]:
    """Return the runs that are done for one command: with both topologies, one after the other."""
    if topology != "both":
        return [Order(seconds, seed, workers, topology, staleness)]
    failovers = max(SHORTEST_SENTINEL, seconds * SHARE_OF_SENTINEL)
    alone = max(SHORTEST_SENTINEL, seconds - failovers)
    return [
        Order(alone, seed, workers, "standalone", staleness),
        Order(failovers, seed, workers, "sentinel", staleness),
    ]


@dataclass
class Result:
    """What came of a run."""

    order: Order
    verdicts: list[Verdict]
    injected: Injected
    took: float

    @property
    def holds(self) -> bool:
        """Whether every invariant holds."""
        return all(verdict.holds for verdict in self.verdicts)


def run(order: Order, folder: Path | None = None, *, verbose: bool = False) -> Result:
    """Do a run, with its books in ``folder`` if there is one."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sharedbreaker-faults-") as temporary:
        if folder is not None:
            folder.mkdir(parents=True)
        books = gather(order, folder or Path(temporary), verbose=verbose)
    verdicts = [*(invariant(books) for invariant in INVARIANTS), no_wait_is_long(books, order.scheduling)]
    verdicts.sort(key=attrgetter("number"))
    return Result(order, verdicts, books.injected, time.monotonic() - began)


def gather(order: Order, folder: Path, *, verbose: bool = False) -> Books:
    """Do a run and return all books."""
    dice = random.Random(f"{order.seed}/clocks")
    clocks = [dice.choice((0.0, dice.uniform(-7200, 7200))) for _ in range(order.workers)]
    with ExitStack() as stack:
        upstream_port = free_port()
        arguments: tuple[object, ...] = (upstream_port, order.seed, folder)
        stack.enter_context(_server(folder, "upstream", "watched_upstream.py", *arguments))
        upstream = stack.enter_context(closing(Commands(upstream_port)))
        settings: dict[str, Any] = {"seed": order.seed, "upstream": upstream_port}
        settings |= {"staleness": order.staleness}
        settings |= {"redis": [""], "sentinels": [], "master": ""}
        servers: StandaloneServers | SentinelServers
        network: Commands | None = None
        redis: Redis
        if order.topology == "sentinel":
            servers = stack.enter_context(closing(SentinelServers()))
            settings |= {"sentinels": [servers.port], "master": MASTER}
            redis = servers.sentinel.master_for(MASTER)
            keeper = EraKeeper(servers.client(), may_lose_some=True)
        else:
            servers = stack.enter_context(closing(StandaloneServers()))
            control, *ports = (free_port() for _ in range(LANES + 1))
            arguments = (folder, servers.server.port, control, order.seed, *ports)
            stack.enter_context(_server(folder, "network", "faulty_proxy.py", *arguments))
            network = stack.enter_context(closing(Commands(control)))
            settings["redis"] = [f"redis://127.0.0.1:{port}/0" for port in ports]
            redis = servers.server.client()
            keeper = EraKeeper(servers.server.client(decode_responses=True))
        stack.callback(keeper.close_client)
        stack.callback(redis.close)
        fleet = Fleet(folder, settings, clocks)
        stack.callback(fleet.end)
        injector = Injector(keeper, servers, fleet, upstream, network, redis)
        plan = make_plan(order.seed, order.seconds, order.workers, order.topology)
        injector.run(plan, order.seconds, verbose=verbose)
        recovery_seconds = _wait_for_recovery(keeper, injector.injected.ended_at)
        _wait_for_leases(keeper, fleet)
        fleet.end()
        eras = keeper.close()
    books = read_books(folder, fleet.history)
    books.eras, books.injected, books.recovery_seconds = eras, injector.injected, recovery_seconds
    books.failovers, books.staleness = servers.failovers, order.staleness
    return books


@contextmanager
def _server(folder: Path, name: str, program: str, *arguments: object) -> Iterator[None]:
    process = start_server(folder, name, program, *map(str, arguments))
    try:
        yield
    finally:
        process.terminate()
        process.communicate()


def _wait_for_recovery(keeper: EraKeeper, since: float) -> float | None:
    """Return how long it took from then until every circuit was closed."""
    while (seconds := time.time() - since) < RECOVERY_GIVEN_UP:
        states = keeper.poll()
        if [states.get(name) for name in NAMES] == ["closed"] * len(NAMES):
            return seconds
        time.sleep(0.02)
    return None


def _wait_for_leases(keeper: EraKeeper, fleet: Fleet) -> None:
    """Let traffic go on until the leases of the last killed worker are over, and counted as lost."""
    last_kill = max(fleet.history.killed.values(), default=0.0)
    while time.time() < last_kill + LEASE_TIMEOUT + OVERRUN:
        keeper.poll()
        time.sleep(0.1)
