"""Which Redis the demo uses: the one that it was given, or one that it starts."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from redis import Redis, RedisError

from sharedbreaker.demo.circuits import Circuits
from sharedbreaker.demo.redis_client import address_of, redis_at
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.demo.screen import Screen
from sharedbreaker.demo.setup_error import DemoSetupError
from sharedbreaker.store.keys import DEFAULT_PREFIX


@dataclass(frozen=True)
class ChosenRedis:
    """The Redis of a demo."""

    client: Redis
    url: str
    """May hold a password: never to be shown."""
    prefix: str
    """What the demo's keys begin with."""
    address: str
    version: str
    where: str
    """Where it comes from, in words."""
    started_here: bool


def start_redis(stack: ExitStack) -> ChosenRedis:
    """Start a Redis that ends with ``stack``; raise NoRedisServerError where there is none to start.

    To be called in the main thread, whose end is the server's.
    """
    server = RedisServer()
    # Registered first: what fails half-way is cleaned up too.
    stack.callback(server.close)
    server.start()
    where = f"started by the demo: {server.binary}, {server.where}"
    return _chosen(server.url, DEFAULT_PREFIX, where, started_here=True)


def use_redis(url: str, stack: ExitStack, screen: Screen, *, keep: bool) -> ChosenRedis:
    """Take the Redis at ``url`` under a prefix of the demo's own; unless ``keep``, ``stack`` empties that.

    Raises DemoSetupError where it does not answer.
    """
    prefix = f"{DEFAULT_PREFIX}-demo-{secrets.token_hex(4)}"
    chosen = _chosen(url, prefix, "given by --redis", started_here=False)
    if not keep:
        stack.callback(_delete_keys, Circuits(url, prefix), prefix, screen)
    return chosen


def _chosen(url: str, prefix: str, where: str, *, started_here: bool) -> ChosenRedis:
    client = redis_at(url)
    try:
        client.ping()
    except RedisError as error:
        raise DemoSetupError(
            f"the Redis at {address_of(client)}, {where}, cannot be used: {type(error).__name__}: "
            f"{str(error).rstrip('.')}. Mend that, or leave --redis out, and the demo starts one"
        ) from None
    return ChosenRedis(client, url, prefix, address_of(client), _version(client), where, started_here)


def _version(client: Redis) -> str:
    try:
        told: dict[str, Any] = client.info("server")
    except RedisError:  # an ACL may forbid it
        return "Redis of unknown version"
    if "valkey_version" in told:
        return f"Valkey {told['valkey_version']}"
    return f"Redis {told.get('redis_version', 'of unknown version')}"


def _delete_keys(circuits: Circuits, prefix: str, screen: Screen) -> None:
    try:
        # One by one: on a cluster they lie in several slots.
        for key in circuits.keys:
            circuits.client.delete(key)
    except RedisError as error:
        screen.note(
            f"The demo's keys in the Redis at {address_of(circuits.client)} could not be deleted "
            f"({type(error).__name__}). They begin with {prefix}"
        )
