"""A master, a replica and a Sentinel, and failovers under traffic.

Replication is asynchronous: what the old master acknowledged in the moments around a failover may be gone. So
those moments are noted, and the comparison of books allows for them and for nothing else.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from era_keeper import EraKeeper
from fault_plan import Fault
from redis import Redis, RedisError, Sentinel

from sharedbreaker.demo.redis_server import RedisServer, find_redis_server, free_port

MASTER = "faults"
SYNC_AT_ONCE = ("--repl-diskless-sync-delay", "0")
READY_SECONDS = 20.0
BEFORE = 0.5
"""Seconds before a failover whose writes may not have reached the replica."""
AFTER = 0.3
SETTLED_SECONDS = 1.0
"""How long a pair must be in order: a failover may begin some time after what it was begun for."""
CONFIGURATION = """\
port {port}
bind 127.0.0.1
dir {folder}
sentinel monitor {name} 127.0.0.1 {master} 1
sentinel down-after-milliseconds {name} 600
sentinel failover-timeout {name} 3000
"""


class SentinelServers:
    """Two servers and a Sentinel that says which of them is the master."""

    def __init__(self) -> None:
        first = RedisServer(*SYNC_AT_ONCE)
        first.start()
        second = RedisServer(*SYNC_AT_ONCE, "--replicaof", "127.0.0.1", str(first.port))
        second.start()
        self._servers = (first, second)
        self._folder = tempfile.TemporaryDirectory(prefix="sharedbreaker-sentinel-")
        self.port = free_port()
        self._process = self._start_sentinel(first.port)
        self.sentinel = Sentinel([("127.0.0.1", self.port)], socket_timeout=1.0)
        self.is_answering = True
        self.failovers: list[tuple[float, float]] = []
        self._master_port = first.port
        self._failing_since: float | None = None
        self._settled_at = time.time()
        self._former_port = 0
        self._hurt: RedisServer | None = None
        self._wait(lambda: len(self.sentinel.discover_slaves(MASTER)) == 1, "a replica")
        self._wait(self._is_settled, "a replica that is up to date")

    def client(self) -> Redis:
        """Return a client of the server that is the master now."""
        return self._server(self._master_port).client(decode_responses=True)

    def begin(self, fault: Fault, keeper: EraKeeper) -> None:
        """Begin a fault. Only a settled pair is failed over."""
        self.refresh(keeper)
        if fault.kind == "script_flush":
            keeper.client.script_flush()
        elif fault.kind == "client_kill":
            keeper.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        elif self._failing_since is not None:
            return
        elif fault.kind == "failover":
            with suppress(RedisError, OSError):
                self.sentinel.sentinels[0].execute_command("SENTINEL", "FAILOVER", MASTER, once=True)
                self._failing_since = time.time()
        else:
            self._hurt = self._server(self._master_port)
            self._failing_since = time.time()
            if fault.kind == "kill_master":
                self._hurt.kill()
            else:
                self._hurt.freeze()

    def end(self, fault: Fault, keeper: EraKeeper) -> None:
        """End it: a dead or frozen server comes back, by then perhaps no longer as the master."""
        if self._hurt is None or fault.kind not in {"kill_master", "freeze_redis"}:
            return
        # Without its data a master that comes back too early would hand its emptiness to the replica.
        if fault.kind == "kill_master":
            self._wait(lambda: self._announced() != self._hurt_port(), "a new master")
            self._hurt.start()
        else:
            self._hurt.thaw()
        self._hurt = None

    def refresh(self, keeper: EraKeeper) -> None:
        """Follow the master, and see whether a failover is over."""
        with suppress(RedisError, OSError):
            announced = self._announced()
            if announced != self._master_port:
                self._former_port, self._master_port = self._master_port, announced
                keeper.client.close()
                keeper.client = self.client()
                self._failing_since = self._failing_since or self._settled_at
            if self._failing_since is None or not self._is_settled():
                self._settled_at = time.time()
            elif time.time() - self._settled_at > SETTLED_SECONDS:
                self.failovers.append((self._failing_since - BEFORE, self._settled_at + AFTER))
                self._failing_since = None

    def settle(self, keeper: EraKeeper) -> None:
        """Wait until the pair is settled."""
        deadline = time.monotonic() + READY_SECONDS
        while self._failing_since is not None and time.monotonic() < deadline:
            self.refresh(keeper)
            time.sleep(0.05)

    def close(self) -> None:
        """End all three."""
        for client in self.sentinel.sentinels:
            client.close()
        self._process.terminate()
        self._process.wait()
        for server in self._servers:
            server.close()
        self._folder.cleanup()

    def _is_settled(self) -> bool:
        """Whether one server is the master and the other its replica, and nothing else is about to happen."""
        if self._hurt is not None:
            return False
        master = self._server(self._master_port)
        other = next(server for server in self._servers if server is not master)
        with closing(master.client(decode_responses=True)) as client:
            if client.info("replication")["role"] != "master":
                return False
        with closing(other.client(decode_responses=True)) as client:
            view = client.info("replication")
            if view["role"] == "master" and other.port == self._former_port:
                # Sentinel does this as well, but not soon; before it has announced the other, it is at work.
                client.replicaof("127.0.0.1", str(master.port))
        return view.get("master_port") == master.port and view["master_link_status"] == "up"

    def _announced(self) -> int:
        return int(self.sentinel.discover_master(MASTER)[1])

    def _hurt_port(self) -> int:
        return self._hurt.port if self._hurt is not None else 0

    def _server(self, port: int) -> RedisServer:
        return next(server for server in self._servers if server.port == port)

    def _wait(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            with suppress(RedisError, OSError):
                if is_so():
                    return
            time.sleep(0.05)
        raise RuntimeError(f"Sentinel did not announce {what} in {READY_SECONDS} s")

    def _start_sentinel(self, master_port: int) -> subprocess.Popen[bytes]:
        folder = Path(self._folder.name)
        configuration = folder / "sentinel.conf"
        configuration.write_text(
            CONFIGURATION.format(port=self.port, folder=folder, name=MASTER, master=master_port)
        )
        with (folder / "sentinel.log").open("wb") as log:
            return subprocess.Popen(
                [str(find_redis_server()[0]), str(configuration), "--sentinel"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
