"""Clusters for the cases: one shard alone, and a master whose place a replica takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import redis.asyncio as redis_asyncio
from redis import Redis
from redis.cluster import RedisCluster
from topology_cluster import NODE_TIMEOUT_MS, SLOTS, Cluster, running_cluster
from topology_lifecycle import wait_until

import breaker_kinds
from sharedbreaker.demo.redis_server import RedisServer, free_port


def client_of(port: int, **settings: Any) -> Any:
    """A user's client of the library that goes with the kind of breaker which the test is about."""
    if breaker_kinds.is_async():
        return redis_asyncio.RedisCluster(host="127.0.0.1", port=port, **settings)
    return RedisCluster(host="127.0.0.1", port=port, **settings)


def node_server() -> tuple[RedisServer, int]:
    """A server that may join a Cluster, and the port of its bus."""
    bus_port = free_port()
    options = ("--cluster-enabled", "yes", "--cluster-port", str(bus_port))
    timeout = ("--cluster-node-timeout", str(NODE_TIMEOUT_MS), "--repl-diskless-sync-delay", "0")
    return RedisServer(*options, *timeout), bus_port


@contextmanager
def one_shard() -> Iterator[Redis]:
    """A Cluster of a single server, which owns every slot; give a plain client of it."""
    server, _ = node_server()
    with server:
        admin = server.client(decode_responses=True)
        admin.execute_command("CLUSTER ADDSLOTSRANGE", 0, SLOTS - 1)
        wait_until(lambda: info_of(admin)["cluster_state"] == "ok", "the cluster is whole")
        yield admin
        admin.close()


def info_of(node: Redis) -> dict[str, str]:
    return cast("dict[str, str]", node.execute_command("CLUSTER INFO"))


class TwinMaster:
    """The first master of a Cluster and its replica, which may take its place: votes are rare."""

    def __init__(self, cluster: Cluster, replica: Redis) -> None:
        self.cluster = cluster
        self.master, self.replica = cluster.nodes[0], replica

    def fail_over(self) -> None:
        """Have the replica take the master's place, as an operator does before maintenance."""

        def is_promoted() -> bool:
            return cast("str", self.replica.execute_command("ROLE")[0]) == "master"

        self.replica.execute_command("CLUSTER FAILOVER")
        wait_until(is_promoted, "the replica is promoted")
        self.master, self.replica = self.replica, self.master

    def _is_in_step(self) -> bool:
        link: Any = self.replica.info("replication")
        return bool(link["role"] == "slave" and link["master_link_status"] == "up")


@contextmanager
def twin_master() -> Iterator[TwinMaster]:
    """A Cluster of three masters, the first of which has a replica."""
    with running_cluster() as cluster:
        cluster.nodes[0].config_set("repl-diskless-sync-delay", 0)
        server, _ = node_server()
        with server:
            replica = server.client(decode_responses=True)
            bus_port: Any = cluster.nodes[0].config_get("cluster-port")["cluster-port"]
            replica.execute_command("CLUSTER MEET", "127.0.0.1", cluster.ports[0], bus_port)
            wait_until(lambda: info_of(replica)["cluster_known_nodes"] == "4", "the replica knows all")
            replica.execute_command("CLUSTER REPLICATE", cluster.ids[0])
            twin = TwinMaster(cluster, replica)
            wait_until(twin._is_in_step, "the replica follows")
            yield twin
            replica.close()
