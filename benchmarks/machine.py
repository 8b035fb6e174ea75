"""What was measured on, and whether anybody else was using it meanwhile."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable
from importlib.metadata import distributions
from pathlib import Path

from redis import Redis

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
OUR_PACKAGES = ("sharedbreaker", "redis", "hiredis")


def description(redis: Redis) -> dict[str, str]:
    """Return the machine and the versions of what runs on it, by name."""
    server = redis.info("server")
    name = "Valkey" if "valkey_version" in server else "Redis"
    number = server.get("valkey_version") or server["redis_version"]
    told = {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "server": f"{name} {number}, on the same machine, nothing kept on disk",
    }
    installed = {found.name.lower(): found.version for found in distributions()}
    for package in OUR_PACKAGES:
        told[package] = installed.get(package, "not installed")
    return told


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


class Others:
    """How much of a core everybody else used since this was made, as far as the kernel of this guest sees.

    Args:
        own: ids of the processes that belong to what is measured, this one aside.

    """

    def __init__(self, own: Iterable[int]) -> None:
        self._own = [os.getpid(), *own]
        self._start = time.monotonic()
        self._busy = _busy_seconds()
        self._used = self._used_by_own()

    @property
    def cores(self) -> float | None:
        """Cores that others kept busy; None where the system does not tell."""
        busy = _busy_seconds()
        if self._busy is None or busy is None:
            return None
        passed = time.monotonic() - self._start
        return max(0.0, ((busy - self._busy) - (self._used_by_own() - self._used)) / passed)

    def _used_by_own(self) -> float:
        return sum(_used_seconds(pid) for pid in self._own)


def _busy_seconds() -> float | None:
    for path, seconds in _CLOCKS_OF_ALL.items():
        try:
            return seconds(Path(path).read_text())
        except (OSError, StopIteration):
            continue
    return None


def _from_cgroup_2(text: str) -> float:
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("usage_usec")) / 1e6


def _from_ticks(text: str) -> float:
    user, nice, system, _idle, _wait, interrupts, soft_interrupts = map(int, text.split()[1:8])
    return (user + nice + system + interrupts + soft_interrupts) / TICKS_PER_SECOND


_CLOCKS_OF_ALL: dict[str, Callable[[str], float]] = {
    "/sys/fs/cgroup/cpuacct/cpuacct.usage": lambda text: int(text) / 1e9,
    "/sys/fs/cgroup/cpu.stat": _from_cgroup_2,
    "/proc/stat": _from_ticks,
}
"""Where a Linux tells how long all its processors were busy, the finest first."""


def _used_seconds(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task")
    try:
        # By thread: the file of the process speaks of its first thread alone.
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
