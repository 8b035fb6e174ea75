"""The way to a Redis Cluster: a client of our own, made at the first call, since making one connects."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, cast

import redis
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import AskError, MovedError, RedisError, SlotNotCoveredError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from sharedbreaker.store.bounded_connection import Attempt
from sharedbreaker.store.client_settings import cluster_settings_for_threads
from sharedbreaker.store.guard import Guard
from sharedbreaker.store.process import ForgetsAtFork, call_forget_in_children
from sharedbreaker.store.round_trip import Question
from sharedbreaker.store.steps import Command

# Settings of a node's connections that the cluster client makes for itself.
_NOT_OURS = ("host", "port", "path", "connection_pool", "redis_connect_func", "retry", "response_callbacks")

# Before redis-py 6, `retry` spoke of a node's connections, and the client itself repeated three times.
_RETRIES_APART = int(redis.__version__.partition(".")[0]) < 6  # noqa: PLR2004

_ELSEWHERE = (MovedError, AskError, SlotNotCoveredError, RedisConnectionError, RedisTimeoutError)
"""What there is in place of an answer where a slot has moved, or its master does not answer."""


class ClusterLink(ForgetsAtFork):
    """One Redis Cluster."""

    def __init__(
        self, cluster: RedisCluster | AsyncRedisCluster, timeout: float, retry_interval: float
    ) -> None:
        self._retry_interval = retry_interval
        self._timeout = timeout
        self.twin: Any = None
        """What leads there for event loops, once somebody has asked for it. It ends with this one."""
        if isinstance(cluster, AsyncRedisCluster):
            nodes = cluster.get_nodes() or list(cluster.nodes_manager.startup_nodes.values())
            settings = cluster_settings_for_threads(cluster)
        else:
            nodes = cluster.get_nodes()
            settings = cluster.nodes_manager.connection_kwargs
        self.nodes = [(node.host, node.port) for node in nodes]
        """Host and port of each node that the user's client knew."""
        self.settings = {
            **{name: value for name, value in settings.items() if name not in _NOT_OURS},
            "decode_responses": False,
            "encoding": "utf-8",
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            "health_check_interval": 0,
        }
        """What a client of our own is made with."""
        self.forget()
        call_forget_in_children(self)

    def forget(self) -> None:
        """Drop the connections."""
        self._cluster: RedisCluster | None = None
        self._lock = threading.Lock()
        self._connecting: Attempt[RedisCluster] | None = None
        self._looking: Attempt[Any] | None = None

    is_quick = False
    """Whether it takes what was packed ahead."""

    def guard_of_circuit(self) -> Guard:
        """Return the guard of one circuit: its own, since another's master may be away while its is there."""
        return Guard(self._retry_interval)

    @property
    def address(self) -> str:
        """Where this leads, for logs and errors: never with a password."""
        return "the Cluster of " + ", ".join(f"{host}:{port}" for host, port in self.nodes[:3])

    def deadline(self) -> float:
        """Return the monotonic moment by which a question that is asked now must have its answer."""
        return time.monotonic() + self._timeout

    @property
    def suspected_at(self) -> float:
        """Monotonic moment from which connections made before are not trusted; the client sees to its own."""
        return 0.0

    def subscription(self) -> Any:
        """Return what hears published messages. Its nodes tell each other of them. Connects if need be."""
        return self._connected(self._timeout).pubsub()

    def _connected(self, left: float) -> RedisCluster:
        cluster = self._cluster
        return self._attempt_to_connect().wait(left) if cluster is None else cluster

    def seconds_left(self, deadline: float | None) -> float:
        """Return how long a question may still take."""
        return self._timeout if deadline is None else deadline - time.monotonic()

    def ask(self, packed: bytes) -> Any:
        """Refuse: which node a packed command is for cannot be seen in it."""
        raise NotImplementedError

    def run(self, command: Command) -> Any:
        """Run one command on the node that owns its keys, until its deadline. Raises what redis-py raises."""
        cluster = self._connected(self.seconds_left(command.deadline))
        return cluster.execute_command(*command.words)

    def ask_all(self, questions: Sequence[Question], deadline: float) -> list[Any]:
        """Ask all of them in one round trip to each master that owns keys of theirs, until ``deadline``.

        An error is not raised: it stands in the place of each answer that it took. The masters are asked at
        once, so that one that is away takes no time from the others.
        """
        try:
            cluster = self._cluster or self._attempt_to_connect().wait(deadline - time.monotonic())
        except Exception as error:
            return [error] * len(questions)
        shares: dict[str, _Share] = {}
        answers: list[Any] = [None] * len(questions)
        for place, question in enumerate(questions):
            owner = _owner_of(cluster, question.key)
            if isinstance(owner, ClusterNode):
                share = shares.setdefault(owner.name, _Share(cluster, owner))
                share.add(place, question)
            else:
                answers[place] = owner
        for share in shares.values():
            share.attempt.start()
        for share in shares.values():
            for place, answer in share.answers(deadline):
                answers[place] = answer
        if any(isinstance(answer, _ELSEWHERE) for answer in answers):
            self._look_later()
        return answers

    def _look_later(self, *_: object, **__: object) -> None:
        with self._lock:
            if self._looking is None or not self._looking.is_under_way:
                self._looking = Attempt(self._look_for_nodes)
                self._looking.start()

    def _attempt_to_connect(self) -> Attempt[RedisCluster]:
        with self._lock:
            if self._connecting is None or not self._connecting.is_under_way:
                self._connecting = Attempt(self._connect)
            return self._connecting

    def _connect(self) -> RedisCluster:
        settings = dict(self.settings)
        if _RETRIES_APART:
            settings["cluster_error_retry_attempts"] = 0
        cluster = RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in self.nodes],
            retry=Retry(NoBackoff(), 0),
            **settings,
        )
        # Looking for nodes may take a timeout for each, and the client would do it while a call waits.
        self._look_for_nodes = cluster.nodes_manager.initialize
        setattr(cluster.nodes_manager, "initialize", self._look_later)  # noqa: B010 - a method's type
        self._cluster = cluster
        return cluster


def _owner_of(cluster: RedisCluster, key: str) -> ClusterNode | RedisError:
    try:
        return cast("ClusterNode", cluster.get_node_from_key(key))
    except RedisError as error:
        return error


class _Share:
    """The questions for one master."""

    def __init__(self, cluster: RedisCluster, node: ClusterNode) -> None:
        self._cluster = cluster
        self._node = node
        self._questions: list[Question] = []
        self._places: list[int] = []
        self.attempt: Attempt[list[Any]] = Attempt(self._ask)

    def add(self, place: int, question: Question) -> None:
        self._places.append(place)
        self._questions.append(question)

    def answers(self, deadline: float) -> Iterator[tuple[int, Any]]:
        """Return each answer, or the error that took it, with its place."""
        told: list[Any]
        try:
            told = self.attempt.wait(max(0.0, deadline - time.monotonic()))
        except Exception as error:
            told = [error] * len(self._places)
        return zip(self._places, told, strict=True)

    def _ask(self) -> list[Any]:
        with self._cluster.get_redis_connection(self._node).pipeline(transaction=False) as pipeline:
            for question in self._questions:
                pipeline.execute_command(*question.words)
            return pipeline.execute(raise_on_error=False)
