"""A master, its replica and three sentinels that watch them."""

from __future__ import annotations

import ctypes
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis
from redis.exceptions import RedisError
from redis.sentinel import Sentinel
from topology_lifecycle import wait_until

from sharedbreaker.demo.redis_server import RedisServer, free_port

SERVICE = "mymaster"
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class SentinelProcess:
    """One running sentinel."""

    def __init__(self, directory: Path, master_port: int) -> None:
        self.port = free_port()
        configuration = directory / f"sentinel-{self.port}.conf"
        configuration.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {directory}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {master_port} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} 2000\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
        )
        with (directory / f"sentinel-{self.port}.log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(shutil.which("redis-sentinel")), str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,  # noqa: PLW1509
                start_new_session=True,
            )
        self.admin = Redis(port=self.port, decode_responses=True)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        self.admin.close()

    def knows(self, replicas: int, sentinels: int) -> bool:
        """Whether it has found so many replicas, and other sentinels."""
        try:
            flat = cast("list[str]", self.admin.execute_command("SENTINEL", "MASTER", SERVICE))
        except RedisError:
            return False
        told = flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
        return int(told["num-slaves"]) >= replicas and int(told["num-other-sentinels"]) >= sentinels


class SentinelSetup:
    """Two servers, the first of them the master at the beginning, and three sentinels."""

    def __init__(self, servers: list[RedisServer], sentinels: list[SentinelProcess]) -> None:
        self.servers = servers
        self.sentinels = sentinels

    def sentinel(self, **settings: Any) -> Sentinel:
        """A client as a user would make it."""
        return Sentinel([("127.0.0.1", sentinel.port) for sentinel in self.sentinels], **settings)

    def fail_over(self) -> None:
        """Ask for a failover, as an operator does before maintenance."""

        def accepted() -> bool:
            with suppress(RedisError):
                return bool(self.sentinels[-1].admin.execute_command("SENTINEL", "FAILOVER", SERVICE))
            return False

        wait_until(accepted, "a sentinel starts the failover")

    def master_port(self) -> int:
        """Where the sentinels say that the master is."""
        _, port = self.sentinels[-1].admin.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return int(port)

    def wait_for_another_master(self, old_port: int) -> None:
        wait_until(lambda: self.master_port() != old_port, "another master is named")


@contextmanager
def running_sentinels() -> Iterator[SentinelSetup]:
    if shutil.which("redis-sentinel") is None:
        pytest.skip("redis-sentinel is not on PATH: install the package redis-sentinel")
    with ExitStack() as stack:
        quick = ("--repl-diskless-sync-delay", "0")
        master = stack.enter_context(RedisServer(*quick))
        replica = stack.enter_context(RedisServer(*quick, "--replicaof", f"127.0.0.1 {master.port}"))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sharedbreaker-sentinel-")))
        sentinels = []
        for _ in range(3):
            sentinel = SentinelProcess(directory, master.port)
            stack.callback(sentinel.close)
            sentinels.append(sentinel)
        for sentinel in sentinels:
            wait_until(partial(sentinel.knows, 1, 2), "the sentinels know each other")
        yield SentinelSetup([master, replica], sentinels)
