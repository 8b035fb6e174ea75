"""The way to a Redis Cluster for event loops: a client of our own for each, made at its first call."""

from __future__ import annotations

import asyncio
from inspect import signature
from typing import Any
from weakref import WeakKeyDictionary

import redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sharedbreaker.store.async_bound import bounded
from sharedbreaker.store.async_lane import close_at_the_end
from sharedbreaker.store.cluster_link import ClusterLink
from sharedbreaker.store.process import ForgetsAtFork, call_forget_in_children
from sharedbreaker.store.steps import Command

# Before redis-py 6 the client itself repeated by a count of its own.
_RETRIES_APART = int(redis.__version__.partition(".")[0]) < 6  # noqa: PLR2004


class AsyncClusterLink(ForgetsAtFork):
    """One Redis Cluster, as ``link`` reaches it."""

    def __init__(self, link: ClusterLink) -> None:
        self._link = link
        self.forget()
        call_forget_in_children(self)

    def forget(self) -> None:
        """Drop the connections, which are the parent's."""
        self._clusters: WeakKeyDictionary[asyncio.AbstractEventLoop, RedisCluster] = WeakKeyDictionary()

    async def run(self, command: Command) -> Any:
        """Run one command on the node that owns its keys, until its deadline. Raises what redis-py raises."""
        loop = asyncio.get_running_loop()
        cluster = self._clusters.get(loop)
        if cluster is None:
            cluster = self._clusters[loop] = self._new_cluster()
            await close_at_the_end(cluster.aclose)
        left = self._link.seconds_left(command.deadline)
        return await bounded(cluster.execute_command(*command.words), left, "answer")

    def _new_cluster(self) -> RedisCluster:
        taken = signature(RedisCluster.__init__).parameters
        settings = {name: value for name, value in self._link.settings.items() if name in taken}
        # At every fifth slot that has moved it would close all connections, whoever waits on them.
        settings["reinitialize_steps"] = 0
        if _RETRIES_APART:
            settings["cluster_error_retry_attempts"] = 0
        return RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in self._link.nodes],
            retry=Retry(NoBackoff(), 0),
            **settings,
        )
