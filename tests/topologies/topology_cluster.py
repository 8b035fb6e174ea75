"""A Redis Cluster of three masters, started and joined by hand: `redis-cli` is not needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

from redis import Redis
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisError
from topology_lifecycle import wait_until

from sharedbreaker.demo.redis_server import RedisServer, free_port

SLOTS = 16384
NODE_TIMEOUT_MS = 1000


class Cluster:
    """Three masters without replicas. A dead master takes its own slots down, and no others."""

    def __init__(self, servers: list[RedisServer]) -> None:
        self.servers = servers
        self.nodes = [server.client(decode_responses=True) for server in servers]
        self.ids = [cast("str", node.execute_command("CLUSTER MYID")) for node in self.nodes]
        self.moved: dict[int, int] = {}
        """Slots that have moved since the beginning, and to which master."""

    @property
    def ports(self) -> list[int]:
        return [server.port for server in self.servers]

    def client(self, **settings: Any) -> RedisCluster:
        """A client as a user would make it."""
        startup_nodes = [ClusterNode("127.0.0.1", port) for port in self.ports]
        return RedisCluster(startup_nodes=startup_nodes, **settings)

    def slot_of(self, key: str) -> int:
        return int(cast("int", self.nodes[0].execute_command("CLUSTER KEYSLOT", key)))

    def owner_of(self, key: str) -> int:
        """Which of the masters owns the key's slot."""
        slot = self.slot_of(key)
        return self.moved.get(slot, slot * len(self.servers) // SLOTS)

    def names_on(self, master: int, number: int, prefix: str = "circuit") -> list[str]:
        """So many circuits' names whose keys lie on that master."""
        names = (f"{prefix}-{count}" for count in range(1000))
        found = [name for name in names if self.owner_of(f"{{{name}}}") == master]
        return found[:number]

    def migrate(self, slot: int, source: int, target: int, batch: int = 1) -> Iterator[int]:
        """Move a slot as `redis-cli --cluster reshard` does, and yield after each step."""
        old, new = self.nodes[source], self.nodes[target]
        new.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", self.ids[source])
        old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", self.ids[target])
        yield 0
        while keys := cast("list[str]", old.execute_command("CLUSTER GETKEYSINSLOT", slot, batch)):
            old.execute_command("MIGRATE", "127.0.0.1", self.ports[target], "", 0, 5000, "KEYS", *keys)
            yield len(keys)
        for node in (new, old, *self.nodes):
            node.execute_command("CLUSTER SETSLOT", slot, "NODE", self.ids[target])
        self.moved[slot] = target

    def close(self) -> None:
        for node in self.nodes:
            node.close()


@contextmanager
def running_cluster(binary: Path | None = None) -> Iterator[Cluster]:
    with ExitStack() as stack:
        bus_ports = [free_port() for _ in range(3)]
        servers = [
            stack.enter_context(
                RedisServer(
                    *("--cluster-enabled", "yes", "--cluster-port", str(bus_port)),
                    *("--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
                    *("--cluster-require-full-coverage", "no"),
                    binary=binary,
                )
            )
            for bus_port in bus_ports
        ]
        cluster = Cluster(servers)
        stack.callback(cluster.close)
        for number, node in enumerate(cluster.nodes):
            first = -(-number * SLOTS // len(servers))
            last = -(-(number + 1) * SLOTS // len(servers)) - 1
            node.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
            # Only a node that has met nobody may be told its epoch.
            node.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for node in cluster.nodes:
            for server, bus_port in zip(servers, bus_ports, strict=True):
                node.execute_command("CLUSTER MEET", "127.0.0.1", server.port, bus_port)
        for node in cluster.nodes:
            wait_until(partial(_is_whole, node, len(servers)), "the cluster is whole")
        yield cluster


def _is_whole(node: Redis, masters: int) -> bool:
    try:
        told = cast("dict[str, str]", node.execute_command("CLUSTER INFO"))
    except RedisError:
        return False
    # The size alone is not enough: the state turns to ok a moment after the last slot is known.
    return (told["cluster_state"], told["cluster_size"]) == ("ok", str(masters))
