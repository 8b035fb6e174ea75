"""One Redis that keeps its data in an append-only file, and the faults that befall it."""

from __future__ import annotations

from era_keeper import KEEPS_DATA, EraKeeper
from fault_plan import Fault

from sharedbreaker.demo.redis_server import RedisServer


class StandaloneServers:
    """A single server. Every fault of it begins and ends with one step."""

    def __init__(self) -> None:
        self.server = RedisServer(*KEEPS_DATA)
        self.server.start()
        self.is_answering = True
        self.failovers: list[tuple[float, float]] = []

    def begin(self, fault: Fault, keeper: EraKeeper) -> None:
        """Begin a fault."""
        if fault.kind == "flushall":
            keeper.flush()
        elif fault.kind == "script_flush":
            keeper.client.script_flush()
        elif fault.kind == "client_kill":
            keeper.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        else:
            self.is_answering = False
            if fault.kind == "freeze_redis":
                self.server.freeze()
            elif fault.kind == "kill_redis_keep_data":
                self.server.kill()
            elif fault.kind == "stop_redis_keep_data":
                self.server.stop()
            else:
                keeper.lose_all(self.server)

    def end(self, fault: Fault, keeper: EraKeeper) -> None:
        """End it."""
        if self.is_answering:
            return
        if fault.kind == "freeze_redis":
            self.server.thaw()
        else:
            self.server.start()
        self.is_answering = True

    def refresh(self, keeper: EraKeeper) -> None:
        """There is one server only."""

    def settle(self, keeper: EraKeeper) -> None:
        """There is nothing to settle."""

    def close(self) -> None:
        """End the server."""
        self.server.close()
