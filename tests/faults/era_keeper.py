"""What Redis holds, era by era: an era begins where Redis has no data and ends where it loses them.

Tallies can be compared only with the calls of the era that they were counted in. So each era is closed with
an exact copy of its last instant: a FLUSHALL goes in one transaction with the reading of all keys; a server
that is killed and loses its data is read from its append-only file afterwards, by a second server, since
Redis writes that file before it answers anybody. Epochs tell which era an admission belongs to: they come
from Redis' clock, so those of an era lie between its two ends.

Between the ends, `poll` reads new events and the epoch, so that no event is missed though the stream is
capped.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fault_terms import NAMES
from redis import Redis, RedisError

from sharedbreaker.circuit.state import TRANSITIONS
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.store.keys import keys_of

AOF_FOLDER = "appendonlydir"
POLLED = ("epoch", "state", *(transition.name for transition in TRANSITIONS))
KEEPS_DATA = ("--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0")
"""A SIGKILL takes nothing that was written to the file, synced or not, and the disk is no part of the
test."""


@dataclass
class CircuitEra:
    """One circuit in one era."""

    circuit: str
    began_us: int
    ended_us: int = 2**62
    fields: dict[str, str] = field(default_factory=dict)
    """The hash at the era's last instant; empty where nobody had called yet."""
    leases: dict[str, float] = field(default_factory=dict)
    """Token and end, Unix milliseconds, of the leases at the era's last instant."""
    batches: set[str] = field(default_factory=set)
    """Batches of held-back tallies that were counted in the era; without some that were answered."""
    events: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    polls: list[tuple[int, int]] = field(default_factory=list)
    """The epoch, and how many transitions were tallied, each time that somebody looked."""
    is_last: bool = False


class EraKeeper:
    """The eras of a run. One thread only.

    Args:
        client: of the server that has the data. May be replaced.
        may_lose_some: whether a failover may take events that were read already; then only those that are
        there at the end count, and epochs may go back.

    """

    def __init__(self, client: Redis, *, may_lose_some: bool = False) -> None:
        self.client = client
        self._may_lose_some = may_lose_some
        self.eras: list[CircuitEra] = []
        self._now: dict[str, CircuitEra] = {}
        self._ended_us = 0
        self._begin(int(time.time() * 1_000_000))

    def poll(self) -> dict[str, str]:
        """Read what is new; return each circuit's state, and nothing while Redis does not answer."""
        with suppress(RedisError, OSError):
            return self._read(self.client, final=())
        return {}

    def flush(self) -> None:
        """End the era with FLUSHALL."""
        with suppress(RedisError, OSError):
            self.client.ping()  # the connection may be older than the server
        self._read(self.client, final=("FLUSHALL",))
        self._begin(self._ended_us)

    def lose_all(self, server: RedisServer) -> None:
        """End the era: kill the server and take its data away. The caller starts it again."""
        server.kill()
        with RedisServer(*KEEPS_DATA) as second:
            second.stop()
            shutil.rmtree(second.directory / AOF_FOLDER, ignore_errors=True)
            shutil.move(server.directory / AOF_FOLDER, second.directory / AOF_FOLDER)
            second.start()
            client = second.client(decode_responses=True)
            self._read(client, final=("PING",))
            client.close()
        self._begin(self._ended_us)

    def close(self) -> list[CircuitEra]:
        """End the last era, with its data still there; return all."""
        self._read(self.client, final=("PING",))
        for era in self._now.values():
            era.is_last = True
        return self.eras

    def close_client(self) -> None:
        """Close the connection, whichever server it leads to by now."""
        self.client.close()

    def _begin(self, now_us: int) -> None:
        self._now = {name: CircuitEra(name, now_us) for name in NAMES}
        self.eras.extend(self._now.values())

    def _read(self, client: Redis, final: tuple[str, ...]) -> dict[str, str]:
        """Read all circuits in one transaction, which ends with the command ``final``."""
        pipe = client.pipeline(transaction=True)
        for name, era in self._now.items():
            keys = keys_of(name)
            if self._may_lose_some:
                pipe.xrange(keys.events, "-", count=None if final else 1)
            else:
                pipe.xrange(keys.events, f"({era.events[-1][0]}" if era.events else "-")
            pipe.hgetall(keys.circuit)
            pipe.zrange(keys.leases, 0, -1, withscores=True)
            pipe.zrange(keys.batches, 0, -1)
        if final:
            pipe.time()
            pipe.execute_command(*final)
        replies: list[Any] = pipe.execute()
        states = {}
        if final:
            seconds, microseconds = replies[-2]
            self._ended_us = seconds * 1_000_000 + microseconds
        for slot, (name, era) in enumerate(self._now.items()):
            events, fields, leases, batches = replies[slot * 4 : slot * 4 + 4]
            if not self._may_lose_some or final:
                era.events.extend(events)
            if fields and not self._may_lose_some:
                era.polls.append((int(fields["epoch"]), sum(int(fields[word]) for word in POLLED[2:])))
            if fields:
                states[name] = fields["state"]
            if final:
                era.fields, era.leases, era.ended_us = fields, dict(leases), self._ended_us
                era.batches = set(batches)
        return states
